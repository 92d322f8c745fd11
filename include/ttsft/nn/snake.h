// Snake activation (Ziyin et al. 2020) with a frequency per channel, in its plain form.
#pragma once

#include <torch/torch.h>

namespace ttsft {

// x + sin^2(alpha x) / (alpha + 1e-9); alpha is no logarithm (SnakeBeta in nn/conv.h has those).
class SnakeImpl : public torch::nn::Module {
 public:
  explicit SnakeImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  torch::Tensor alpha;                            // [C]
};
TORCH_MODULE(Snake);

}  // namespace ttsft
