#include "ttsft/nn/length_batches.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using Batches = std::vector<std::vector<size_t>>;

TEST(LengthBatches, LikeLengthsShareABatch) {
  EXPECT_EQ(length_batches({5, 10, 4, 9}, 20), (Batches{{1, 3}, {0, 2}}));
  EXPECT_EQ(length_batches({5, 5, 5}, 10), (Batches{{0, 1}, {2}}));
  EXPECT_EQ(length_batches({1, 2, 3}, 9), (Batches{{2, 1, 0}}));
}

TEST(LengthBatches, ARowAboveTheBudgetRunsAlone) {
  EXPECT_EQ(length_batches({3, 30, 3}, 10), (Batches{{1}, {0, 2}}));
  EXPECT_EQ(length_batches({}, 10), Batches());
}

TEST(LengthBatches, RowsAreFilledUpWithZeros) {
  const torch::Tensor a = torch::ones({2, 3}), b = torch::ones({4, 3}) * 2;
  const torch::Tensor batch = pad_rows({a, b});
  test::expect_equal(batch[0], torch::cat({a, torch::zeros({2, 3})}));
  test::expect_equal(batch[1], b);
  test::expect_equal(pad_rows({torch::ones({2}), torch::ones({1})}),
                     torch::tensor({{1.0f, 1.0f}, {1.0f, 0.0f}}));
}

TEST(LengthBatches, RealFrames) {
  EXPECT_FALSE(real_frames({3, 3}, 3, torch::kCPU).defined());
  const torch::Tensor mask = real_frames({3, 1}, 3, torch::kCPU);
  EXPECT_TRUE(mask.equal(torch::tensor({{true, true, true}, {true, false, false}})));
  EXPECT_FALSE(real_frames({3, 3}, 4, torch::kCPU).all().item<bool>());
}

}  // namespace
}  // namespace ttsft
