#include "ttsft/codec/convnext.h"

namespace ttsft {

namespace {

constexpr double kNormEps = 1e-6;

}  // namespace

CausalConvNeXtImpl::CausalConvNeXtImpl(int64_t channels, int64_t kernel, int64_t expansion) {
  dwconv = register_module(
      "dwconv", CausalConv1d(ConvOptions{
                    .in = channels, .out = channels, .kernel = kernel, .groups = channels}));
  norm = register_module("norm", LayerNorm(channels, kNormEps));
  pwconv1 = register_module("pwconv1", Linear(channels, expansion * channels, /*bias=*/true));
  pwconv2 = register_module("pwconv2", Linear(expansion * channels, channels, /*bias=*/true));
  gamma = register_parameter("gamma", torch::empty({channels}), /*requires_grad=*/false);
}

torch::Tensor CausalConvNeXtImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = dwconv(x).transpose(1, 2);  // [B, T, C]
  h = pwconv2(torch::gelu(pwconv1(norm(h))));
  return torch::addcmul(x, h.transpose(1, 2), gamma.unsqueeze(-1));
}

}  // namespace ttsft
