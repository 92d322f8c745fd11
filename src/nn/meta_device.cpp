#include "ttsft/nn/meta_device.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/ConvUtils.h>
#include <c10/core/Allocator.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <string_view>

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

// --- convolutions: LibTorch asks each backend for a kernel of its own, and meta has none

// One number may stand for all dimensions.
std::vector<int64_t> by_dimension(torch::IntArrayRef given, const torch::Tensor& x) {
  if (given.size() != 1) return given.vec();
  return std::vector<int64_t>(static_cast<size_t>(x.dim()) - 2, given.front());
}

torch::Tensor convolution(const torch::Tensor& x, const torch::Tensor& weight,
                          const MaybeTensor& bias, torch::IntArrayRef stride,
                          torch::IntArrayRef padding, torch::IntArrayRef dilation, bool transposed,
                          torch::IntArrayRef output_padding, int64_t groups) {
  require_meta("convolution", {x, weight, defined(bias)});
  const int64_t channels = transposed ? weight.size(0) : weight.size(1) * groups;
  TORCH_CHECK(x.dim() == weight.dim() && x.size(1) == channels, "convolution: x ", x.sizes(),
              " does not fit weight ", weight.sizes());
  const auto s = by_dimension(stride, x), p = by_dimension(padding, x),
             d = by_dimension(dilation, x), o = by_dimension(output_padding, x);
  return torch::empty(
      transposed ? at::native::conv_input_size(x.sizes(), weight.sizes(), p, o, s, d, groups)
                 : at::native::conv_output_size(x.sizes(), weight.sizes(), p, s, d),
      x.options());
}

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> convolution_backward(
    const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& weight,
    at::OptionalIntArrayRef bias_sizes, torch::IntArrayRef, torch::IntArrayRef, torch::IntArrayRef,
    bool, torch::IntArrayRef, int64_t, std::array<bool, 3> wanted) {
  require_meta("convolution_backward", {gradient, x, weight});
  return {wanted[0] ? torch::empty_like(x) : torch::Tensor(),
          wanted[1] ? torch::empty_like(weight) : torch::Tensor(),
          wanted[2] ? torch::empty(*bias_sizes, gradient.options()) : torch::Tensor()};
}

// --- what has a kernel for the CPU and none for meta: it runs there on zeros of the same shapes

// The shape of what these give depends on the numbers: they would have to be read.
bool reads_numbers(const std::string& name) {
  constexpr std::string_view kNames[] = {"aten::_local_scalar_dense",
                                         "aten::nonzero",
                                         "aten::nonzero_static",
                                         "aten::masked_select",
                                         "aten::equal",
                                         "aten::_unique",
                                         "aten::_unique2",
                                         "aten::unique_dim",
                                         "aten::unique_consecutive",
                                         "aten::bincount",
                                         "aten::repeat_interleave",
                                         "aten::unique_dim_consecutive"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

torch::Tensor zeros_for(const torch::Tensor& tensor, bool written) {
  if (!tensor.defined()) return tensor;
  const auto options = tensor.options().device(torch::kCPU);
  if (written) return torch::zeros(tensor.sizes(), options);
  return torch::zeros({}, options).expand(tensor.sizes());  // takes no memory
}

torch::Tensor on_meta(const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_meta()) return tensor;
  return torch::empty_strided(tensor.sizes(), tensor.strides(),
                              tensor.options().device(torch::kMeta));
}

void run_on_zeros(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const size_t count = schema.arguments().size(), first = stack->size() - count;
  std::vector<c10::IValue> given(stack->begin() + static_cast<int64_t>(first), stack->end());
  for (size_t i = 0; i < count; ++i) {
    c10::IValue& value = (*stack)[first + i];
    const auto* alias = schema.arguments()[i].alias_info();
    const bool written = alias != nullptr && alias->isWrite();
    if (value.isTensor()) {
      require_meta(schema.name().c_str(), {value.toTensor()});
      value = zeros_for(value.toTensor(), written);
    } else if (value.isTensorList()) {
      std::vector<torch::Tensor> tensors = value.toTensorVector();
      for (torch::Tensor& tensor : tensors) {
        require_meta(schema.name().c_str(), {tensor});
        tensor = zeros_for(tensor, written);
      }
      value = tensors;
    }
  }
  op.callBoxed(stack);
  for (size_t r = 0; r < schema.returns().size(); ++r) {
    c10::IValue& result = (*stack)[stack->size() - schema.returns().size() + r];
    if (!result.isTensor()) continue;
    const auto* alias = schema.returns()[r].alias_info();
    torch::Tensor mine = on_meta(result.toTensor());
    for (size_t i = 0; alias != nullptr && alias->isWrite() && i < count; ++i) {
      const auto* of = schema.arguments()[i].alias_info();
      if (of == nullptr || !(*of == *alias)) continue;
      given[i].toTensor().resize_(mine.sizes());
      mine = given[i].toTensor();
    }
    result = mine;
  }
}

// Registers run_on_zeros for every such operator.
torch::Library route_over_cpu() {
  using c10::DispatchKey;
  torch::Library library(torch::Library::IMPL, "aten", DispatchKey::Meta, __FILE__, __LINE__);
  c10::Dispatcher& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    if (!name.name.starts_with("aten::") || reads_numbers(name.name)) continue;
    const auto op = dispatcher.findOp(name);
    if (!op || !op->hasSchema() || !op->hasKernelForDispatchKey(DispatchKey::CPU)) continue;
    const auto has = [&](DispatchKey key) { return op->hasKernelForDispatchKey(key); };
    if (has(DispatchKey::Meta) || has(DispatchKey::CompositeExplicitAutograd) ||
        has(DispatchKey::CompositeImplicitAutograd) ||
        has(DispatchKey::CompositeExplicitAutogradNonFunctional)) {
      continue;
    }
    library.impl(c10::toString(name).c_str(),
                 torch::CppFunction::makeFromBoxedFunction<&run_on_zeros>());
  }
  return library;
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
    plain.impl("convolution", convolution);
    plain.impl("convolution_backward", convolution_backward);
    static torch::Library others = route_over_cpu();
    return true;
  }();
}

void set_data(torch::Tensor tensor, const torch::Tensor& value) {
  if (tensor.is_meta() == value.is_meta()) return tensor.set_data(value);
  // What set_data does behind its look at the two devices.
  struct Impl : c10::TensorImpl {
    static void assign(c10::TensorImpl* to, const c10::TensorImpl* from) {
      copy_tensor_metadata(from, to, to->version_counter(), to->allow_tensor_metadata_change());
    }
  };
  Impl::assign(tensor.unsafeGetTensorImpl(), value.unsafeGetTensorImpl());
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
