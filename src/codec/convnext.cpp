#include "ttsft/codec/convnext.h"

#include <stdexcept>

namespace ttsft {

namespace {

constexpr double kNormEps = 1e-6;

}  // namespace

ConvNeXtImpl::ConvNeXtImpl(const ConvNeXtOptions& options) {
  const int64_t channels = options.channels;
  const int64_t inner = options.inner > 0 ? options.inner : 4 * channels;
  const ConvOptions conv{
      .in = channels, .out = channels, .kernel = options.kernel, .groups = channels};
  if (options.causal) {
    causal_ = register_module("dwconv", CausalConv1d(conv));
  } else {
    centred_ = register_module("dwconv", Conv1d(conv));
  }
  norm = register_module("norm", LayerNorm(channels, kNormEps));
  pwconv1 = register_module("pwconv1", Linear(channels, inner, /*bias=*/true));
  pwconv2 = register_module("pwconv2", Linear(inner, channels, /*bias=*/true));
  gamma = register_parameter("gamma", torch::empty({channels}), /*requires_grad=*/false);
}

torch::Tensor ConvNeXtImpl::forward(const torch::Tensor& x, ConvStream* stream) {
  if (stream && !causal_)
    throw std::logic_error("ConvNeXt: only a causal one can go on from a piece");
  torch::Tensor h = causal_ ? causal_(x, stream) : centred_(x, centred_->options().kernel / 2);
  h = pwconv2(torch::gelu(pwconv1(norm(h.transpose(1, 2)))));  // [B, T, C]
  return torch::addcmul(x, h.transpose(1, 2), gamma.unsqueeze(-1));
}

}  // namespace ttsft
