#include "ttsft/nn/left_padding.h"

#include <gtest/gtest.h>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_equal;
using test::random;

TEST(LeftPadding, EqualRowsNeedNoMask) {
  const torch::Tensor a = random({3, 2}, 1), b = random({3, 2}, 2);
  const LeftPadded padded = pad_left({a, b}, 4, torch::kFloat32);
  expect_equal(padded.inputs, torch::stack({a, b}));
  expect_equal(padded.lengths, torch::tensor({int64_t{3}, int64_t{3}}));
  EXPECT_FALSE(padded.mask.defined() || padded.prefill_mask.defined() ||
               padded.positions.defined());
}

TEST(LeftPadding, RowsEndTogether) {
  const torch::Tensor longer = random({3, 2}, 1), shorter = random({1, 2}, 2);
  const LeftPadded padded = pad_left({shorter, longer}, 2, torch::kFloat32);
  expect_equal(padded.inputs[0][2], shorter[0]);
  expect_equal(padded.inputs[0].narrow(0, 0, 2), torch::zeros({2, 2}));
  expect_equal(padded.inputs[1], longer);
  expect_equal(padded.lengths, torch::tensor({int64_t{1}, int64_t{3}}));
  expect_equal(padded.positions, torch::tensor({0, 0, 0, 0, 1, 2}, torch::kInt64).view({2, 3}));
  expect_equal(padded.mask.to(torch::kInt64),
               torch::tensor({0, 0, 1, 1, 1, 1, 1, 1, 1, 1}, torch::kInt64).view({2, 1, 1, 5}));
  // Padding sees itself alone; the real position of row 0 sees no padding.
  expect_equal(padded.prefill_mask[0][0].to(torch::kInt64), torch::eye(3, torch::kInt64));
  expect_equal(padded.prefill_mask[1][0].to(torch::kInt64),
               torch::ones({3, 3}, torch::kInt64).tril());
}

}  // namespace
}  // namespace ttsft
