#include "ttsft/nn/linear.h"

namespace ttsft {

LinearImpl::LinearImpl(const LinearOptions& options) : options_(options) {
  const bool in_out = options.layout == LinearLayout::kInOut;
  weight = register_parameter("weight", in_out ? torch::empty({options.in, options.out})
                                               : torch::empty({options.out, options.in}));
  if (options.bias) bias = register_parameter("bias", torch::empty({options.out}));
}

torch::Tensor LinearImpl::forward(const torch::Tensor& x) {
  const torch::Tensor w = options_.layout == LinearLayout::kInOut ? weight.t() : weight;
  torch::Tensor y = torch::nn::functional::linear(x, w, bias);
  if (!lora_ || lora_->scale == 0.0) return y;
  torch::Tensor h =
      lora_->dropout > 0 && is_training() ? torch::dropout(x, lora_->dropout, true) : x;
  h = torch::nn::functional::linear(h, lora_->A.to(x.scalar_type()));
  h = torch::nn::functional::linear(h, lora_->B.to(x.scalar_type()));
  return torch::add(y, h, lora_->scale * lora_->scaling);
}

torch::Tensor TableImpl::forward(const torch::Tensor& ids) {
  const torch::Tensor rows = torch::embedding(weight, ids);
  if (!lora() || lora()->scale == 0.0) return rows;
  const torch::Tensor low = torch::embedding(lora()->A.t(), ids).to(rows.scalar_type());
  const torch::Tensor change = torch::nn::functional::linear(low, lora()->B.to(rows.scalar_type()));
  return torch::add(rows, change, lora()->scale * lora()->scaling);
}

torch::Tensor LinearImpl::lora_delta() const {
  return torch::matmul(lora_->B, lora_->A) * (lora_->scale * lora_->scaling);
}

torch::Tensor LinearImpl::effective_weight() const {
  const torch::Tensor w = options_.layout == LinearLayout::kInOut ? weight.t() : weight;
  if (!lora_ || lora_->scale == 0.0) return w;
  return w + lora_delta().to(w.scalar_type());
}

void LinearImpl::merge_lora() {
  if (!lora_) return;
  if (lora_->scale != 0.0) {
    torch::NoGradGuard no_grad;
    torch::Tensor delta = lora_delta();
    if (options_.layout == LinearLayout::kInOut) delta = delta.t();
    // Out of place: the weight may still be a view into the mapped file.
    weight.set_data((weight.to(torch::kFloat32) + delta).to(weight.scalar_type()).contiguous());
  }
  lora_.reset();
}

}  // namespace ttsft
