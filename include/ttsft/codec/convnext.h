// The ConvNeXt block of neural codecs (Liu et al. 2022, as in Vocos and DAC variants).
#pragma once

#include <torch/torch.h>

#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

struct ConvNeXtOptions {
  int64_t channels = 0;
  int64_t inner = 0;  // of the two linears; 0: four times the channels
  int64_t kernel = 7;
  bool causal = true;  // else the convolution hears both sides, with zeros at the ends
};

// x + gamma * pwconv2(gelu(pwconv1(norm(dwconv(x))))): depthwise convolution over time, the rest
// per frame. Child names: dwconv (dwconv.conv where causal), norm, pwconv1, pwconv2, gamma.
class ConvNeXtImpl : public torch::nn::Module {
 public:
  explicit ConvNeXtImpl(const ConvNeXtOptions& options);
  // [B, C, T]. With a stream (causal) x goes on from the piece before. Rows of unequal length:
  // zeros behind each row going in, anything coming out.
  torch::Tensor forward(const torch::Tensor& x, ConvStream* stream = nullptr);
  torch::Tensor gamma;  // [C]

 private:
  CausalConv1d causal_{nullptr};
  Conv1d centred_{nullptr};
  LayerNorm norm{nullptr};
  Linear pwconv1{nullptr}, pwconv2{nullptr};
};
TORCH_MODULE(ConvNeXt);

}  // namespace ttsft
