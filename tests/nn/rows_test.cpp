#include "ttsft/nn/rows.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;

constexpr int64_t kTime = 9;

const RowLengths& lengths() {
  static const RowLengths lengths = {9, 4, 7};
  return lengths;
}

torch::Tensor batch() {
  return torch::arange(3 * 2 * kTime, torch::kFloat32).view({3, 2, kTime}) + 1;
}

TEST(Rows, ZeroesWhatLiesBehind) {
  const Rows rows(lengths(), kTime, torch::kCPU);
  torch::Tensor x = batch();
  rows.zero_(x);
  for (int64_t b = 0; b < 3; ++b) {
    const int64_t n = lengths()[static_cast<size_t>(b)];
    expect_equal(x[b].narrow(1, 0, n), batch()[b].narrow(1, 0, n));
    EXPECT_EQ(x[b].slice(1, n).abs().sum().item<double>(), 0);
  }
  torch::Tensor codes = torch::ones({3, kTime}, torch::kInt64);
  zero_beyond_(codes, lengths());
  expect_equal(codes.sum(1), torch::tensor({9, 4, 7}));
  EXPECT_THROW(zero_beyond_(codes, {9, 4}), std::logic_error);
}

TEST(Rows, EdgesAreThoseOfARowAlone) {
  const Rows rows(lengths(), kTime, torch::kCPU);
  for (const auto& [left, right] : {std::pair<int64_t, int64_t>{2, 3}, {0, 2}, {3, 0}}) {
    const torch::Tensor edges = rows.pad_replicate(batch(), left, right);
    const torch::Tensor mirrors = rows.pad_reflect(batch(), left, right);
    ASSERT_EQ(edges.size(2), kTime + left + right);
    for (int64_t b = 0; b < 3; ++b) {
      const int64_t n = lengths()[static_cast<size_t>(b)], padded = n + left + right;
      const torch::Tensor alone = batch()[b].narrow(1, 0, n).unsqueeze(0);
      expect_equal(edges[b].narrow(1, 0, padded),
                   torch::replication_pad1d(alone, {left, right})[0]);
      expect_equal(mirrors[b].narrow(1, 0, padded),
                   torch::reflection_pad1d(alone, {left, right})[0]);
    }
  }
}

TEST(Rows, GrowWithTheBatch) {
  const Rows rows = Rows(lengths(), kTime, torch::kCPU).scaled(3, 1);
  EXPECT_EQ(rows.lengths(), (RowLengths{28, 13, 22}));
  expect_equal(rows.real(28).sum(1), torch::tensor({28, 13, 22}));
}

TEST(Rows, FullRowsCostNothing) {
  for (const Rows& rows : {Rows(), Rows({9, 9, 9}, kTime, torch::kCPU), Rows().scaled(2)}) {
    EXPECT_TRUE(rows.full());
    EXPECT_FALSE(rows.real(kTime).defined());
    const torch::Tensor x = batch();
    EXPECT_TRUE(rows.zero_(x).is_same(x));
    expect_equal(rows.pad_reflect(x, 1, 2), torch::reflection_pad1d(x, {1, 2}));
  }
}

}  // namespace
}  // namespace ttsft
