#include "ttsft/data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::ElementsAre;
using Batches = std::vector<std::vector<int64_t>>;

std::vector<int64_t> lognormal(int n, double sigma) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(0, sigma);
  std::vector<int64_t> lengths;
  for (int i = 0; i < n; ++i) lengths.push_back(std::llround(100 * std::exp(normal(random))));
  return lengths;
}

void expect_each_row_once(const Batches& batches, size_t n) {
  std::vector<int64_t> rows;
  for (const auto& batch : batches) {
    EXPECT_FALSE(batch.empty());
    rows.insert(rows.end(), batch.begin(), batch.end());
  }
  std::sort(rows.begin(), rows.end());
  ASSERT_EQ(rows.size(), n);
  for (size_t i = 0; i < n; ++i) ASSERT_EQ(rows[i], static_cast<int64_t>(i));
}

int64_t padded_tokens(const std::vector<int64_t>& batch, const std::vector<int64_t>& lengths) {
  int64_t longest = 0;
  for (const int64_t row : batch) longest = std::max(longest, lengths[static_cast<size_t>(row)]);
  return longest * std::ssize(batch);
}

TEST(Sampler, KeepsTheBudgetAndLittlePadding) {
  for (const double sigma : {0.3, 0.5, 0.7}) {
    for (const int64_t budget : {2048, 8192}) {
      const auto lengths = lognormal(2000, sigma);
      Sampler sampler(lengths, {.batch_tokens = budget});
      for (int64_t epoch = 0; epoch < 2; ++epoch) {
        const Batches& batches = sampler.epoch(epoch);
        expect_each_row_once(batches, lengths.size());
        for (const auto& batch : batches) {
          if (batch.size() > 1) {
            EXPECT_LE(padded_tokens(batch, lengths), budget);
          }
        }
      }
      EXPECT_LE(sampler.padding_share(), 0.05) << sigma << " " << budget;
      EXPECT_GT(sampler.padding_share(), 0);
      // Small batches would have no padding either: the budget must be used.
      int64_t tokens = 0;
      for (const int64_t length : lengths) tokens += length;
      EXPECT_LE(sampler.batches_per_epoch(), 1.35 * static_cast<double>(tokens / budget) + 1);
    }
  }
}

TEST(Sampler, IsDeterministicInSeedAndEpoch) {
  const auto lengths = lognormal(300, 0.5);
  Sampler one(lengths, {.batch_tokens = 1000, .seed = 3});
  Sampler two(lengths, {.batch_tokens = 1000, .seed = 3});
  const Batches third = two.epoch(3);  // asked for at once, as a resumed run does
  EXPECT_NE(one.epoch(0), third);
  EXPECT_NE(one.epoch(2), third);
  EXPECT_EQ(one.epoch(3), third);
  EXPECT_EQ(one.epoch(3), third);
  Sampler other(lengths, {.batch_tokens = 1000, .seed = 4});
  EXPECT_NE(other.epoch(3), third);
}

TEST(Sampler, GivesTheSameBatchesOnEveryMachine) {
  Sampler sampler({5, 1, 4, 2, 3, 9, 8, 7, 6}, {.batch_utterances = 2, .seed = 1});
  const Batches first = sampler.epoch(0);
  EXPECT_EQ(first, (Batches{{4, 2}, {7, 6}, {1, 3}, {0, 8}, {5}}));
}

TEST(Sampler, RowsMeetOthersInTheNextEpoch) {
  const auto lengths = lognormal(200, 0.5);
  Sampler sampler(lengths, {.batch_tokens = 2000});
  const auto pairs = [&](int64_t epoch) {
    std::set<std::pair<int64_t, int64_t>> found;
    for (const auto& batch : sampler.epoch(epoch)) {
      for (const int64_t a : batch) {
        for (const int64_t b : batch) {
          if (a < b) found.emplace(a, b);
        }
      }
    }
    return found;
  };
  const auto one = pairs(0), two = pairs(1);
  std::vector<std::pair<int64_t, int64_t>> both;
  std::set_intersection(one.begin(), one.end(), two.begin(), two.end(), std::back_inserter(both));
  EXPECT_LT(static_cast<double>(both.size()), 0.9 * static_cast<double>(one.size()));
}

TEST(Sampler, OrderOfBatchesDoesNotFollowLength) {
  const auto lengths = lognormal(2000, 0.5);
  Sampler sampler(lengths, {.batch_tokens = 2048});
  int rises = 0;
  const Batches& batches = sampler.epoch(0);
  for (size_t i = 1; i < batches.size(); ++i) {
    rises += lengths[static_cast<size_t>(batches[i][0])] >
             lengths[static_cast<size_t>(batches[i - 1][0])];
  }
  EXPECT_NEAR(rises, static_cast<double>(batches.size()) / 2,
              static_cast<double>(batches.size()) / 6);
}

TEST(Sampler, WithoutShuffleCutsInOrder) {
  Sampler tokens({3, 3, 4, 9, 20, 1, 1}, {.batch_tokens = 12, .shuffle = false});
  EXPECT_EQ(tokens.epoch(0), (Batches{{0, 1, 2}, {3}, {4}, {5, 6}}));
  EXPECT_EQ(tokens.epoch(5), (Batches{{0, 1, 2}, {3}, {4}, {5, 6}}));
  EXPECT_EQ(tokens.batches_per_epoch(), 4);
  EXPECT_DOUBLE_EQ(tokens.padding_share(), 2.0 / (12 + 9 + 20 + 2));
}

TEST(Sampler, CountedBatchesHaveThatManyRows) {
  Sampler ordered({9, 1, 1, 5, 2}, {.batch_utterances = 2, .shuffle = false});
  EXPECT_EQ(ordered.epoch(0), (Batches{{0, 1}, {2, 3}, {4}}));

  const auto lengths = lognormal(1001, 0.5);
  Sampler shuffled(lengths, {.batch_tokens = 1, .batch_utterances = 4});
  const Batches& batches = shuffled.epoch(0);
  expect_each_row_once(batches, lengths.size());
  EXPECT_EQ(batches.size(), 251u);
  EXPECT_EQ(std::count_if(batches.begin(), batches.end(), [](auto& b) { return b.size() != 4; }),
            1);
  EXPECT_LT(shuffled.padding_share(), 0.06);
}

TEST(Sampler, ARowOverTheBudgetIsABatchOfItsOwn) {
  Sampler sampler({10, 500, 10, 10, 700}, {.batch_tokens = 100});
  const Batches& batches = sampler.epoch(0);
  expect_each_row_once(batches, 5);
  EXPECT_THAT(batches, ::testing::Contains(ElementsAre(1)));
  EXPECT_THAT(batches, ::testing::Contains(ElementsAre(4)));
}

TEST(Sampler, EmptyAndZeroLengths) {
  Sampler none({}, {});
  EXPECT_TRUE(none.epoch(0).empty());
  EXPECT_EQ(none.padding_share(), 0);
  Sampler zero({0, 0, 0}, {.batch_tokens = 10});
  expect_each_row_once(zero.epoch(0), 3);
}

TEST(Sampler, RefusesWhatMakesNoBatches) {
  EXPECT_THROW(Sampler({1}, {.batch_tokens = 0, .batch_utterances = 0}), UsageError);
  EXPECT_THROW(Sampler({1}, {.batch_tokens = -1}), UsageError);
  EXPECT_THROW(Sampler({1}, {.batch_utterances = -1}), UsageError);
  EXPECT_THROW(Sampler({1, -1}, {}), RunError);
}

TEST(Sampler, SurvivesAnAbsurdBudget) {
  Sampler tokens({3, 4}, {.batch_tokens = INT64_MAX});
  EXPECT_EQ(tokens.batches_per_epoch(), 1);
  Sampler rows({3, 4}, {.batch_utterances = INT64_MAX});
  EXPECT_EQ(rows.batches_per_epoch(), 1);
}

}  // namespace
}  // namespace ttsft
