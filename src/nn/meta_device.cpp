#include "ttsft/nn/meta_device.h"

#include <c10/core/Allocator.h>
#include <torch/library.h>

#include <atomic>

namespace ttsft {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<torch::Tensor>;

std::atomic<int64_t> live{0}, peak{0};

// Data is null, as meta tensors want it; the context is the block's size, so that freeing counts.
class CountingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    constexpr int64_t kStep = 512;  // CUDACachingAllocator's kMinBlockSize
    const int64_t size = (static_cast<int64_t>(bytes) + kStep - 1) / kStep * kStep;
    const int64_t now = live += size;
    int64_t before = peak;
    while (now > before && !peak.compare_exchange_weak(before, now)) continue;
    return {nullptr, new int64_t(size), &release, torch::Device(torch::kMeta)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, std::size_t) const override {}

 private:
  static void release(void* context) {
    const std::unique_ptr<int64_t> size(static_cast<int64_t*>(context));
    live -= *size;
  }
};

torch::Tensor defined(const MaybeTensor& tensor) {
  return tensor.value_or(torch::Tensor());
}

void require_meta(const char* op, std::initializer_list<torch::Tensor> tensors) {
  for (const torch::Tensor& tensor : tensors) {
    TORCH_CHECK(!tensor.defined() || tensor.is_meta(), op, ": expected all tensors on meta, found ",
                tensor.device());
  }
}

torch::Tensor gradient_of(const torch::Tensor& tensor) {
  return tensor.defined() ? torch::empty_like(tensor) : torch::Tensor();
}

// --- attention: q, k, v, the output and one number per query are kept

torch::Tensor attention_output(const torch::Tensor& q, const torch::Tensor& v) {
  // Laid out as [B, T, H, D], as the fused kernels do, so that joining the heads copies nothing.
  auto shape = q.sizes().vec();
  shape.back() = v.size(-1);
  if (q.dim() != 4) return torch::empty(shape, q.options());
  std::swap(shape[1], shape[2]);
  return torch::empty(shape, q.options()).transpose(1, 2);
}

struct MetaAttention : Function<MetaAttention> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& q,
                               const torch::Tensor& k, const torch::Tensor& v,
                               const MaybeTensor& mask) {
    const torch::Tensor out = attention_output(q, v);
    auto rows = q.sizes().vec();
    rows.pop_back();
    context->save_for_backward(
        {q, k, v, defined(mask), out, torch::empty(rows, q.options().dtype(torch::kFloat32))});
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list) {
    const auto saved = context->get_saved_variables();
    return {gradient_of(saved[0]), gradient_of(saved[1]), gradient_of(saved[2]), {}};
  }
};

torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const MaybeTensor& mask, double, bool, std::optional<double>, bool) {
  require_meta("scaled_dot_product_attention", {q, k, v, defined(mask)});
  return MetaAttention::apply(q, k, v, mask);
}

torch::Tensor plain_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, const MaybeTensor& mask, double, bool,
                              std::optional<double>, bool) {
  require_meta("scaled_dot_product_attention", {q, k, v, defined(mask)});
  return attention_output(q, v);
}

// --- norms: the input and one or two float32 numbers per row are kept

struct MetaNorm : Function<MetaNorm> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const MaybeTensor& weight, const MaybeTensor& bias, int64_t numbers,
                               int64_t normalized) {
    auto rows = x.sizes().vec();
    rows.resize(rows.size() - static_cast<size_t>(normalized));
    rows.push_back(numbers);
    context->save_for_backward({x, defined(weight), defined(bias),
                                torch::empty(rows, x.options().dtype(torch::kFloat32))});
    return torch::empty_like(x);
  }
  static variable_list backward(AutogradContext* context, variable_list) {
    const auto saved = context->get_saved_variables();
    return {gradient_of(saved[0]), gradient_of(saved[1]), gradient_of(saved[2]), {}, {}};
  }
};

torch::Tensor rms_norm(const torch::Tensor& x, c10::SymIntArrayRef shape, const MaybeTensor& weight,
                       std::optional<double>) {
  require_meta("rms_norm", {x, defined(weight)});
  return MetaNorm::apply(x, weight, MaybeTensor(), 1, std::ssize(shape));
}
torch::Tensor plain_rms_norm(const torch::Tensor& x, c10::SymIntArrayRef, const MaybeTensor& weight,
                             std::optional<double>) {
  require_meta("rms_norm", {x, defined(weight)});
  return torch::empty_like(x);
}

torch::Tensor layer_norm(const torch::Tensor& x, c10::SymIntArrayRef shape,
                         const MaybeTensor& weight, const MaybeTensor& bias, double, bool) {
  require_meta("layer_norm", {x, defined(weight), defined(bias)});
  return MetaNorm::apply(x, weight, bias, 2, std::ssize(shape));
}
torch::Tensor plain_layer_norm(const torch::Tensor& x, c10::SymIntArrayRef,
                               const MaybeTensor& weight, const MaybeTensor& bias, double, bool) {
  require_meta("layer_norm", {x, defined(weight), defined(bias)});
  return torch::empty_like(x);
}

// --- dropout: a mask of one byte per value is kept

struct MetaDropout : Function<MetaDropout> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x) {
    context->save_for_backward({torch::empty(x.sizes(), x.options().dtype(torch::kBool))});
    return torch::empty_like(x);
  }
  static variable_list backward(AutogradContext*, variable_list gradients) {
    return {gradient_of(gradients[0])};
  }
};

torch::Tensor dropout(const torch::Tensor& x, double probability, bool train) {
  return train && probability > 0 ? MetaDropout::apply(x) : x;
}
torch::Tensor plain_dropout(const torch::Tensor& x, double probability, bool train) {
  return train && probability > 0 ? torch::empty_like(x) : x;
}

// --- embedding

torch::Tensor embedding_gradient(const torch::Tensor& gradient, const torch::Tensor& indices,
                                 c10::SymInt rows, c10::SymInt, bool) {
  require_meta("embedding_dense_backward", {gradient, indices});
  return torch::empty({rows.expect_int(), gradient.size(-1)}, gradient.options());
}

torch::Library library(c10::DispatchKey key) {
  return {torch::Library::IMPL, "aten", key, __FILE__, __LINE__};
}

}  // namespace

void use_meta_device() {
  static CountingAllocator allocator;
  // With a gradient to take the first set runs, in inference mode the second.
  static torch::Library differentiable = library(c10::DispatchKey::AutogradMeta);
  static torch::Library plain = library(c10::DispatchKey::Meta);
  [[maybe_unused]] static const bool done = [] {
    c10::SetAllocator(torch::kMeta, &allocator);
    differentiable.impl("scaled_dot_product_attention", attention);
    differentiable.impl("rms_norm", rms_norm);
    differentiable.impl("layer_norm", layer_norm);
    differentiable.impl("dropout", dropout);
    plain.impl("scaled_dot_product_attention", plain_attention);
    plain.impl("rms_norm", plain_rms_norm);
    plain.impl("layer_norm", plain_layer_norm);
    plain.impl("dropout", plain_dropout);
    plain.impl("embedding_dense_backward", embedding_gradient);
    return true;
  }();
}

int64_t meta_memory() {
  return live;
}

int64_t peak_meta_memory() {
  return peak;
}

void reset_peak_meta_memory() {
  peak = live.load();
}

}  // namespace ttsft
