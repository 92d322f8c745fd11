#include "ttsft/model/stepwise.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

TEST(Stepwise, PrefillThenOnePositionAtATime) {
  const torch::Tensor inputs = torch::arange(5, torch::kFloat32).view({1, 5, 1});
  std::vector<int64_t> fed;
  const torch::Tensor logits = stepwise_logits(
      inputs, 3,
      [&](const torch::Tensor& x) {
        fed.push_back(x.size(1));
        return x;
      },
      [](const torch::Tensor& state) { return 10 * state; });
  EXPECT_EQ(fed, (std::vector<int64_t>{3, 1, 1}));
  EXPECT_TRUE(torch::equal(logits, torch::tensor({20.0f, 30.0f, 40.0f}).unsqueeze(1)));
}

}  // namespace
}  // namespace ttsft
