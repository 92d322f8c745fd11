#include "ttsft/nn/snake.h"

namespace ttsft {
namespace {

torch::Tensor frozen(torch::nn::Module& module, const char* name, int64_t channels) {
  return module.register_parameter(name, torch::empty({channels}), /*requires_grad=*/false);
}

// x + sin^2(frequency x) magnitude; the two are [C, 1].
torch::Tensor snake(const torch::Tensor& x, const torch::Tensor& frequency,
                    const torch::Tensor& magnitude) {
  const torch::Tensor wave = (x * frequency).sin();
  return torch::addcmul(x, wave * magnitude, wave);
}

}  // namespace

SnakeImpl::SnakeImpl(int64_t channels, bool with_axes) {
  alpha = with_axes ? register_parameter("alpha", torch::empty({1, channels, 1}),
                                         /*requires_grad=*/false)
                    : frozen(*this, "alpha", channels);
}

torch::Tensor SnakeImpl::forward(const torch::Tensor& x) {
  const torch::Tensor frequency = alpha.view({-1, 1});
  return snake(x, frequency, (frequency + 1e-9).reciprocal());
}

SnakeBetaImpl::SnakeBetaImpl(int64_t channels) {
  alpha = frozen(*this, "alpha", channels);
  beta = frozen(*this, "beta", channels);
}

torch::Tensor SnakeBetaImpl::forward(const torch::Tensor& x) {
  return snake(x, alpha.exp().unsqueeze(-1), (beta.exp() + 1e-9).reciprocal().unsqueeze(-1));
}

}  // namespace ttsft
