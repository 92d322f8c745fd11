#include "ttsft/nn/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/decoder_block.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;
using ::testing::HasSubstr;

TEST(KvCache, HoldsWhatWasAppended) {
  KvCache cache(2, 1, 3, 5, 4, torch::kFloat32);
  EXPECT_EQ(cache.capacity(), 5);
  const torch::Tensor k = random({1, 3, 3, 4}, 1), v = random({1, 3, 3, 4}, 2);
  for (int64_t layer = 0; layer < 2; ++layer) {  // both layers write to the same positions
    const auto [keys, values] = cache.append(layer, k * (layer + 1), v * (layer + 1));
    expect_equal(keys, k * (layer + 1));
    expect_equal(values, v * (layer + 1));
    EXPECT_EQ(cache.length(), 0);
  }
  cache.advance(3);
  EXPECT_EQ(cache.length(), 3);
  const torch::Tensor k2 = random({1, 3, 2, 4}, 3), v2 = random({1, 3, 2, 4}, 4);
  const auto [keys, values] = cache.append(1, k2, v2);
  expect_equal(keys, torch::cat({k * 2, k2}, 2));
  expect_equal(values, torch::cat({v * 2, v2}, 2));
}

TEST(KvCache, ReusesItsBuffers) {
  KvCache cache(1, 2, 1, 4, 2, torch::kFloat32);
  const torch::Tensor k = random({2, 1, 4, 2}, 1);
  const void* buffer = cache.append(0, k, k).first.data_ptr();
  cache.advance(4);
  cache.reset();
  EXPECT_EQ(cache.length(), 0);
  const torch::Tensor later = random({2, 1, 1, 2}, 2);
  const auto [keys, values] = cache.append(0, later, later);
  EXPECT_EQ(keys.data_ptr(), buffer);
  expect_equal(keys, later, "nothing of the earlier text is left");
}

TEST(KvCache, RefusesMoreThanItHolds) {
  KvCache cache(1, 1, 1, 4, 2, torch::kFloat32);
  const torch::Tensor three = random({1, 1, 3, 2}, 1), two = random({1, 1, 2, 2}, 2);
  cache.append(0, three, three);
  cache.advance(3);
  try {
    cache.append(0, two, two);
    FAIL() << "five positions in a cache of four";
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("5 positions in a cache of 4"));
  }
  cache.reset();
  EXPECT_THROW(cache.append(1, three, three), std::out_of_range) << "there is one layer";
}

// A stack with grouped heads, and a window where one is given.
DecoderStack make_stack(int64_t window) {
  StackOptions options;
  options.block = {.hidden = 12, .intermediate = 20, .heads = 4, .kv_heads = 2, .head_dim = 6};
  options.block.qk_norm = true;
  options.block.window = window;
  options.layers = 3;
  DecoderStack stack(options);
  test::randomize(*stack);
  return stack;
}

TEST(DecodingWithACache, EqualsTheFullForward) {
  constexpr int64_t kTime = 9;
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = random({2, kTime, 12}, 1);
  for (const int64_t window : {0, 1, 3, 8, 20}) {
    DecoderStack stack = make_stack(window);
    const torch::Tensor full = stack(x);
    for (const std::vector<int64_t>& pieces : {std::vector<int64_t>{9},
                                               {1, 1, 1, 1, 1, 1, 1, 1, 1},
                                               {5, 1, 1, 1, 1},
                                               {4, 3, 1, 1},
                                               {1, 8},
                                               {2, 5, 2}}) {
      KvCache cache = stack->make_cache(2, kTime, torch::kFloat32);
      std::vector<torch::Tensor> outputs;
      for (const int64_t piece : pieces) {
        outputs.push_back(stack->forward(x.narrow(1, cache.length(), piece), {}, {}, &cache));
      }
      EXPECT_EQ(cache.length(), kTime);
      expect_close(torch::cat(outputs, 1), full, 1e-5,
                   "window " + std::to_string(window) + ", first piece " +
                       std::to_string(pieces[0]) + " of " + std::to_string(pieces.size()));
    }
  }
}

TEST(DecodingWithACache, StopsAtTheCapacity) {
  const torch::NoGradGuard no_grad;
  DecoderStack stack = make_stack(0);
  KvCache cache = stack->make_cache(1, 4, torch::kFloat32);
  stack->forward(random({1, 4, 12}, 1), {}, {}, &cache);
  EXPECT_THROW(stack->forward(random({1, 1, 12}, 2), {}, {}, &cache), std::logic_error);
}

// Texts of unequal length, filled up on the left so that all end at the same column.
struct LeftPadded {
  std::vector<torch::Tensor> rows;  // [T_b, D]
  torch::Tensor x;                  // [B, T, D]; the padding is not zero, as an embedding's is not
  torch::Tensor positions;          // [B, T]
  std::vector<int64_t> padding;

  explicit LeftPadded(const std::vector<int64_t>& lengths, int64_t width, int64_t first_seed) {
    const auto count = static_cast<int64_t>(lengths.size());
    const int64_t time = *std::max_element(lengths.begin(), lengths.end());
    x = random({count, time, width}, 99);
    for (int64_t b = 0; b < count; ++b) {
      const int64_t length = lengths[static_cast<size_t>(b)];
      rows.push_back(random({length, width}, first_seed + static_cast<uint64_t>(b)));
      padding.push_back(time - length);
      x[b].narrow(0, time - length, length).copy_(rows.back());
    }
    const torch::Tensor shift = torch::tensor(padding).unsqueeze(1);
    positions = (torch::arange(time).unsqueeze(0) - shift).clamp_min(0);
  }

  // [B, 1, queries, keys]: earlier or equal, and no padding.
  torch::Tensor mask(int64_t first, int64_t queries) const {
    const torch::Tensor i = torch::arange(first, first + queries).view({1, 1, -1, 1});
    const torch::Tensor j = torch::arange(first + queries).view({1, 1, 1, -1});
    return (j <= i) & (j >= torch::tensor(padding).view({-1, 1, 1, 1}));
  }
};

TEST(LeftPadding, RowsComeOutAsTheyWouldAlone) {
  const torch::NoGradGuard no_grad;
  for (const int64_t window : {0, 3}) {
    DecoderStack stack = make_stack(window);
    const LeftPadded batch({7, 4, 1}, 12, 1);
    const torch::Tensor together = stack(batch.x, batch.positions, batch.mask(0, 7));
    // Queries in the padding see no key at all; what they become must not poison the rest.
    EXPECT_TRUE(together.isfinite().all().item<bool>());
    for (int64_t b = 0; b < 3; ++b) {
      const torch::Tensor& row = batch.rows[static_cast<size_t>(b)];
      const int64_t padding = batch.padding[static_cast<size_t>(b)];
      expect_close(together[b].narrow(0, padding, row.size(0)), stack(row.unsqueeze(0))[0], 1e-5,
                   "window " + std::to_string(window) + ", row " + std::to_string(b));
    }
  }
}

TEST(LeftPadding, HoldsThroughDecodingSteps) {
  constexpr int64_t kSteps = 4;
  const torch::NoGradGuard no_grad;
  for (const int64_t window : {0, 3}) {
    DecoderStack stack = make_stack(window);
    const LeftPadded batch({5, 2}, 12, 1);
    const torch::Tensor steps = random({2, kSteps, 12}, 50);
    KvCache cache = stack->make_cache(2, 5 + kSteps, torch::kFloat32);
    std::vector<torch::Tensor> outputs;
    outputs.push_back(stack(batch.x, batch.positions, batch.mask(0, 5), &cache));
    for (int64_t i = 0; i < kSteps; ++i) {
      const torch::Tensor where = batch.positions.narrow(1, 4, 1) + 1 + i;
      outputs.push_back(stack(steps.narrow(1, i, 1), where, batch.mask(5 + i, 1), &cache));
    }
    const torch::Tensor together = torch::cat(outputs, 1);
    for (int64_t b = 0; b < 2; ++b) {
      const torch::Tensor& row = batch.rows[static_cast<size_t>(b)];
      const torch::Tensor alone = stack(torch::cat({row, steps[b]}, 0).unsqueeze(0))[0];
      const int64_t padding = batch.padding[static_cast<size_t>(b)];
      expect_close(together[b].narrow(0, padding, alone.size(0)), alone, 1e-5,
                   "window " + std::to_string(window) + ", row " + std::to_string(b));
    }
  }
}

}  // namespace
}  // namespace ttsft
