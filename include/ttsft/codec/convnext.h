// The ConvNeXt block of neural codecs (Liu et al. 2022, as in Vocos and DAC variants), made causal.
#pragma once

#include <torch/torch.h>

#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

// x + gamma * pwconv2(gelu(pwconv1(norm(dwconv(x))))): causal depthwise convolution over time, the
// rest per frame. Child names: dwconv.conv, norm, pwconv1, pwconv2, gamma.
class CausalConvNeXtImpl : public torch::nn::Module {
 public:
  explicit CausalConvNeXtImpl(int64_t channels, int64_t kernel = 7, int64_t expansion = 4);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  torch::Tensor gamma;                            // [C]

 private:
  CausalConv1d dwconv{nullptr};
  LayerNorm norm{nullptr};
  Linear pwconv1{nullptr}, pwconv2{nullptr};
};
TORCH_MODULE(CausalConvNeXt);

}  // namespace ttsft
