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

TEST(KvCache, HoldsWhatWasWritten) {
  KvCache cache(2, 1, 3, 5, 4, torch::kFloat32);
  EXPECT_EQ(cache.capacity(), 5);
  const torch::Tensor k = random({1, 3, 3, 4}, 1), v = random({1, 3, 3, 4}, 2);
  const KvCache::Step first = cache.open(3);
  EXPECT_TRUE(first.causal);
  for (int64_t layer = 0; layer < 2; ++layer) {  // both layers write to the same positions
    const auto [keys, values] = cache.write(first, layer, k * (layer + 1), v * (layer + 1));
    expect_equal(keys, k * (layer + 1));
    expect_equal(values, v * (layer + 1));
    EXPECT_EQ(cache.length(), 0);
  }
  cache.advance(3);
  EXPECT_EQ(cache.length(), 3);
  const torch::Tensor k2 = random({1, 3, 2, 4}, 3), v2 = random({1, 3, 2, 4}, 4);
  const auto [keys, values] = cache.write(cache.open(2), 1, k2, v2);
  expect_equal(keys, torch::cat({k * 2, k2}, 2));
  expect_equal(values, torch::cat({v * 2, v2}, 2));
}

TEST(KvCache, ReusesItsBuffers) {
  KvCache cache(1, 2, 1, 4, 2, torch::kFloat32);
  const auto fill = [&](const torch::Tensor& x) {
    const auto written = cache.write(cache.open(x.size(2)), 0, x, x);
    cache.advance(x.size(2));
    return written.first;
  };
  fill(random({2, 1, 3, 2}, 1));
  const void* buffer = fill(random({2, 1, 1, 2}, 2)).data_ptr();
  cache.reset();
  EXPECT_EQ(cache.length(), 0);
  const torch::Tensor later = random({2, 1, 2, 2}, 3), one = random({2, 1, 1, 2}, 4);
  fill(later);
  const torch::Tensor keys = fill(one);
  EXPECT_EQ(keys.data_ptr(), buffer);
  expect_equal(keys, torch::cat({later, one}, 2), "nothing of the earlier text is left");
}

TEST(KvCache, MakesRoomForMore) {
  KvCache cache(1, 1, 1, 2, 2, torch::kFloat32);
  const torch::Tensor two = random({1, 1, 2, 2}, 1), one = random({1, 1, 1, 2}, 2);
  cache.write(cache.open(2), 0, two, two);
  cache.advance(2);
  const auto [keys, values] = cache.write(cache.open(1), 0, one, one);
  expect_equal(keys, torch::cat({two, one}, 2));
  EXPECT_GE(cache.capacity(), 3);
  EXPECT_THROW(cache.write(cache.open(1), 1, one, one), std::out_of_range) << "there is one layer";
}

// A stack with grouped heads, and a window where one is given.
DecoderStack make_stack(int64_t window) {
  StackOptions options;
  options.block = {.hidden = 12, .intermediate = 20, .heads = 4, .kv_heads = 2, .head_dim = 6};
  options.block.qk_norm = QkNorm::kPerHead;
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

// Rows of unequal length in one batch: prompts are filled up behind their end, then rows go on, leave,
// come in and multiply; each sees what it would alone.
TEST(RowsAsSlots, ComeAndGoAsTheyWouldAlone) {
  constexpr int64_t kSteps = 3;
  const torch::NoGradGuard no_grad;
  for (const int64_t window : {0, 3}) {
    DecoderStack stack = make_stack(window);
    const auto prompt = [&](const std::vector<torch::Tensor>& rows) {
      std::vector<int64_t> used;
      for (const torch::Tensor& row : rows) used.push_back(row.size(0));
      const int64_t longest = *std::max_element(used.begin(), used.end());
      torch::Tensor x = random({std::ssize(rows), longest, 12}, 99);  // padding is not zero
      for (size_t i = 0; i < rows.size(); ++i)
        x[static_cast<int64_t>(i)].narrow(0, 0, used[i]).copy_(rows[i]);
      KvCache cache = stack->make_cache(std::ssize(rows), longest, torch::kFloat32);
      stack->forward(x, {}, {}, &cache);
      cache.reset();
      cache.advance(used);
      return cache;
    };
    std::vector<torch::Tensor> rows = {random({7, 12}, 1), random({4, 12}, 2), random({1, 12}, 3),
                                       random({6, 12}, 4)};
    const auto step = [&](KvCache& cache, const std::vector<size_t>& who, int64_t seed) {
      const torch::Tensor x = random({std::ssize(who), 1, 12}, static_cast<uint64_t>(seed));
      const torch::Tensor y = stack->forward(x, {}, {}, &cache);
      for (size_t i = 0; i < who.size(); ++i) {
        rows[who[i]] = torch::cat({rows[who[i]], x[static_cast<int64_t>(i)]});
        expect_close(y[static_cast<int64_t>(i)], stack(rows[who[i]].unsqueeze(0))[0].narrow(0, -1, 1),
                     1e-5, "window " + std::to_string(window) + ", row " + std::to_string(who[i]));
      }
    };
    KvCache cache = prompt({rows[0], rows[1], rows[2]});
    EXPECT_FALSE(cache.level());
    for (int64_t i = 0; i < kSteps; ++i) step(cache, {0, 1, 2}, 10 + i);
    cache.keep({0, 2});
    step(cache, {0, 2}, 20);
    cache.join(prompt({rows[3]}));
    for (int64_t i = 0; i < kSteps; ++i) step(cache, {0, 2, 3}, 30 + i);
    rows.push_back(rows[3]);
    cache.keep({2, 2});  // row 3, twice
    EXPECT_TRUE(cache.level());
    for (int64_t i = 0; i < kSteps; ++i) step(cache, {3, 4}, 40 + i);
  }
}

TEST(RowsAsSlots, BeamsChangePlaces) {
  const torch::NoGradGuard no_grad;
  DecoderStack stack = make_stack(0);
  const torch::Tensor shared = random({4, 12}, 1);
  std::vector<torch::Tensor> rows(3, shared);
  KvCache cache = stack->make_cache(3, 6, torch::kFloat32);
  stack->forward(torch::stack(rows), {}, {}, &cache);
  for (int64_t i = 0; i < 4; ++i) {  // past the capacity too
    const torch::Tensor x = random({3, 1, 12}, static_cast<uint64_t>(10 + i));
    const torch::Tensor y = stack->forward(x, {}, {}, &cache);
    for (int64_t b = 0; b < 3; ++b) {
      rows[static_cast<size_t>(b)] = torch::cat({rows[static_cast<size_t>(b)], x[b]});
      expect_close(y[b],
                   stack(rows[static_cast<size_t>(b)].unsqueeze(0))[0].narrow(0, -1, 1), 1e-5);
    }
    cache.permute(torch::tensor({int64_t{2}, int64_t{0}, int64_t{0}}), 4);
    rows = {rows[2], rows[0], rows[0]};
  }
}

}  // namespace
}  // namespace ttsft
