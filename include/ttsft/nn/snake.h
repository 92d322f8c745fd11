// Snake activations (Ziyin et al. 2020) with a frequency per channel.
#pragma once

#include <torch/torch.h>

namespace ttsft {

// x + sin^2(alpha x) / (alpha + 1e-9); alpha is no logarithm.
class SnakeImpl : public torch::nn::Module {
 public:
  // with_axes: alpha is [1, C, 1], as DAC stores it.
  explicit SnakeImpl(int64_t channels, bool with_axes = false);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  torch::Tensor alpha;                            // [C], or [1, C, 1]
};
TORCH_MODULE(Snake);

// SnakeBeta (BigVGAN, Lee et al. 2022) with log-scale parameters:
// x + sin^2(exp(alpha) x) / (exp(beta) + 1e-9).
class SnakeBetaImpl : public torch::nn::Module {
 public:
  explicit SnakeBetaImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  torch::Tensor alpha, beta;                      // [C]
};
TORCH_MODULE(SnakeBeta);

}  // namespace ttsft
