#include "ttsft/nn/snake.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

TEST(Snake, EqualsItsDefinition) {
  Snake snake(3);
  test::randomize(*snake);
  const torch::Tensor x = test::random({2, 3, 5}, 9), y = snake(x);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double v = x.flatten()[i].item<double>();
    const double a = snake->alpha[i / 5 % 3].item<double>();
    EXPECT_NEAR(y.flatten()[i].item<double>(), v + std::pow(std::sin(a * v), 2) / (a + 1e-9), 1e-5);
  }
  torch::NoGradGuard no_grad;
  snake->alpha.zero_();
  test::expect_close(snake(x), x, 0, "alpha 0 does not divide by zero");
}

TEST(SnakeBeta, Formula) {
  SnakeBeta snake(2);
  snake->alpha.copy_(torch::tensor({0.3f, -1.2f}));
  snake->beta.copy_(torch::tensor({-0.7f, 0.4f}));
  const torch::Tensor x = torch::tensor({{{0.0f, 0.5f, -2.0f}, {1.0f, 3.0f, -0.1f}}});
  const torch::Tensor y = snake(x);
  const double alpha[] = {0.3, -1.2}, beta[] = {-0.7, 0.4};
  for (int64_t c = 0; c < 2; ++c) {
    for (int64_t t = 0; t < 3; ++t) {
      const double v = x[0][c][t].item<float>();
      const double s = std::sin(std::exp(alpha[c]) * v);
      EXPECT_NEAR(y[0][c][t].item<float>(), v + s * s / (std::exp(beta[c]) + 1e-9), 1e-6);
    }
  }
}

}  // namespace
}  // namespace ttsft
