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

}  // namespace
}  // namespace ttsft
