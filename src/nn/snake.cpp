#include "ttsft/nn/snake.h"

namespace ttsft {

SnakeImpl::SnakeImpl(int64_t channels) {
  alpha = register_parameter("alpha", torch::empty({channels}), /*requires_grad=*/false);
}

torch::Tensor SnakeImpl::forward(const torch::Tensor& x) {
  const torch::Tensor frequency = alpha.unsqueeze(-1);               // [C, 1]
  const torch::Tensor magnitude = (frequency + 1e-9).reciprocal_();  // [C, 1]
  torch::Tensor wave = (x * frequency).sin_();
  return torch::addcmul(x, wave * magnitude, wave);
}

}  // namespace ttsft
