#include "ttsft/nn/sampling.h"

#include <gtest/gtest.h>

#include <cmath>

#include <limits>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/noise.h"
#include "ttsft/nn/rng.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;

constexpr float kDropped = -std::numeric_limits<float>::infinity();

// Scores whose softmax is 0.3, 0.05, 0.5, 0.15.
torch::Tensor example() {
  return torch::tensor({{0.3f, 0.05f, 0.5f, 0.15f}}).log();
}

// The ids that survive, as text: "0 2".
std::string kept(const torch::Tensor& scores, const SamplingOptions& options) {
  const torch::Tensor filtered = filter_scores(scores, options);
  std::string text;
  for (int64_t i = 0; i < filtered.size(1); ++i) {
    const double value = filtered[0][i].item<double>();
    if (value == kDropped) continue;
    EXPECT_NEAR(value, scores[0][i].item<double>() / options.temperature, 1e-5);
    text += (text.empty() ? "" : " ") + std::to_string(i);
  }
  return text;
}

// Draws of some rows at one step.
torch::Tensor draws(const std::vector<uint64_t>& seeds, int64_t step, int64_t vocabulary) {
  const torch::Tensor steps = torch::full({std::ssize(seeds)}, step, torch::kInt64);
  return NoiseSource(seed_words(seeds, torch::kCPU), steps).uniform("token", {vocabulary});
}

TEST(Filters, KeepAsManyAsABeamNeeds) {
  SamplingOptions options;
  options.min_keep = 2;
  options.top_k = 1;
  EXPECT_EQ(kept(example(), options), "0 2");
  options = {};
  options.min_keep = 2;
  options.top_p = 0.1;
  EXPECT_EQ(kept(example(), options), "0 2");
  options = {};
  options.min_keep = 3;
  options.min_p = 0.9;
  EXPECT_EQ(kept(example(), options), "0 2 3");
  options.min_keep = 9;  // more than there are
  EXPECT_EQ(kept(example(), options), "0 1 2 3");
}

TEST(Filters, OffByDefault) {
  EXPECT_EQ(kept(example(), {}), "0 1 2 3");
  EXPECT_EQ(kept(example(), {.temperature = 0.5}), "0 1 2 3");
}

TEST(Filters, TopKKeepsTies) {
  EXPECT_EQ(kept(example(), {.top_k = 1}), "2");
  EXPECT_EQ(kept(example(), {.top_k = 3}), "0 2 3");
  EXPECT_EQ(kept(example(), {.top_k = 4}), "0 1 2 3");
  EXPECT_EQ(kept(example(), {.top_k = 100}), "0 1 2 3");
  const torch::Tensor ties = torch::tensor({{2.0f, 3.0f, 2.0f, 1.0f, 2.0f}});
  EXPECT_EQ(kept(ties, {.top_k = 2}), "0 1 2 4");  // as Hugging Face: equal scores stay together
  EXPECT_EQ(kept(ties, {.top_k = 1}), "1");
}

TEST(Filters, TopPKeepsTheSmallestSetThatReachesP) {
  EXPECT_EQ(kept(example(), {.top_p = 0.97}), "0 1 2 3");
  EXPECT_EQ(kept(example(), {.top_p = 0.9}), "0 2 3");
  EXPECT_EQ(kept(example(), {.top_p = 0.75}), "0 2");
  EXPECT_EQ(kept(example(), {.top_p = 0.4}), "2");
}

TEST(Filters, TopPKeepsAtLeastOne) {
  EXPECT_EQ(kept(example(), {.top_p = 1e-9}), "2");
  EXPECT_EQ(kept(example(), {.top_p = 0.0}), "2");
  EXPECT_EQ(kept(torch::zeros({1, 3}), {.top_p = 0.0}).size(), 1u);
}

TEST(Filters, MinPIsAShareOfTheBest) {
  EXPECT_EQ(kept(example(), {.min_p = 0.2}), "0 2 3");  // at least 0.1
  EXPECT_EQ(kept(example(), {.min_p = 0.5}), "0 2");
  EXPECT_EQ(kept(example(), {.min_p = 1.0}), "2");
}

TEST(Filters, OrderIsTemperatureTopKTopP) {
  // Of the two that top_k leaves, the better has 0.625, enough for top_p alone; of all, it has 0.5.
  EXPECT_EQ(kept(example(), {.top_p = 0.6}), "0 2");
  EXPECT_EQ(kept(example(), {.top_k = 2, .top_p = 0.6}), "2");
  // Temperature first: the squares' shares are 0.25, 0.007, 0.685, 0.06.
  EXPECT_EQ(kept(example(), {.temperature = 0.5, .top_p = 0.6}), "2");
  EXPECT_EQ(kept(example(), {.temperature = 0.5, .min_p = 0.2}), "0 2");
}

TEST(Filters, RowsAreIndependent) {
  const torch::Tensor scores = random({5, 40}, 1, 2.0);
  const SamplingOptions options{.temperature = 0.8, .top_k = 9, .top_p = 0.9, .min_p = 0.05};
  const torch::Tensor together = filter_scores(scores, options);
  for (int64_t b = 0; b < 5; ++b) {
    const torch::Tensor row = scores[b].unsqueeze(0);
    EXPECT_TRUE(torch::equal(together[b].unsqueeze(0), filter_scores(row, options)));
  }
}

TEST(PickTokens, GreedyIsTheBestWhateverTheFilters) {
  const torch::Tensor scores = torch::tensor({{1.0f, 5.0f, 2.0f}, {-1.0f, -3.0f, -2.0f}});
  const SamplingOptions options{
      .greedy = true, .temperature = 0, .top_k = 1, .top_p = 0, .min_p = 2};
  expect_equal(pick_tokens(scores, options, {}), torch::tensor({1, 0}));
}

// Sum of (count - expected)^2 / expected over the possible tokens; an impossible one is a failure.
double chi_square(const torch::Tensor& counts, const torch::Tensor& probabilities, double draws) {
  double sum = 0;
  for (int64_t i = 0; i < counts.numel(); ++i) {
    const double count = counts[i].item<double>(), p = probabilities[i].item<double>();
    if (p == 0) {
      EXPECT_EQ(count, 0) << "token " << i;
      continue;
    }
    sum += (count - p * draws) * (count - p * draws) / (p * draws);
  }
  return sum;
}

TEST(PickTokens, DrawsFollowTheDistribution) {
  constexpr int64_t kBatch = 100, kRounds = 60;
  std::vector<uint64_t> seeds;
  for (uint64_t row = 0; row < kBatch; ++row) seeds.push_back(derive_seed(row, "draws"));
  const torch::Tensor scores = example().expand({kBatch, 4});
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.temperature = 2.0}, SamplingOptions{.top_k = 3}}) {
    torch::Tensor counts = torch::zeros({4}, torch::kInt64);
    for (int64_t i = 0; i < kRounds; ++i) {
      counts += pick_tokens(scores, options, draws(seeds, i, 4)).bincount({}, 4);
    }
    const torch::Tensor p = filter_scores(example(), options).softmax(-1)[0];
    EXPECT_LT(chi_square(counts, p, kBatch * kRounds), 16.3);  // 1 in 1000, 3 degrees of freedom
  }
}

TEST(PickTokens, OneRowFollowsTheDistributionToo) {
  torch::Tensor counts = torch::zeros({4}, torch::kInt64);
  for (int64_t i = 0; i < 2000; ++i)
    counts += pick_tokens(example(), {}, draws({11}, i, 4)).bincount({}, 4);
  EXPECT_LT(chi_square(counts, example().exp()[0], 2000), 16.3);
}

TEST(PickTokens, Bf16ScoresAreReadInFloat32) {
  const torch::Tensor scores = random({1, 50}, 1).to(torch::kBFloat16);
  const torch::Tensor uniform = draws({3}, 0, 50);
  expect_equal(pick_tokens(scores, {}, uniform),
               pick_tokens(scores.to(torch::kFloat32), {}, uniform));
}

// What min-p drops first is no part of the whole that top-p looks at.
TEST(Filters, MinPMayComeFirst) {
  SamplingOptions options;
  options.min_p = 0.2;   // drops what is below 0.1 of the whole
  options.top_p = 0.86;  // of the whole keeps 2, 0 and 3
  EXPECT_EQ(kept(example(), options), "0 2 3");
  options.min_p_first = true;  // without id 1 the rest weighs more: 0.158 of it may go
  EXPECT_EQ(kept(example(), options), "0 2 3");
  options.top_p = 0.84;  // 0.15 / 0.95 = 0.158 <= 0.16 goes when min-p was first; 0.2 > 0.16 not
  EXPECT_EQ(kept(example(), options), "0 2");
  options.min_p_first = false;
  EXPECT_EQ(kept(example(), options), "0 2 3");
}

TEST(Filters, MinPFirstKeepsAsManyAsABeamNeeds) {
  SamplingOptions options{.top_p = 0.45, .min_p = 0.5, .min_p_first = true};
  EXPECT_EQ(kept(example(), options), "2");
  options.min_p_first = false;
  EXPECT_EQ(kept(example(), options), "2");
  options.min_keep = 3;  // each filter leaves three of what it is given
  EXPECT_EQ(kept(example(), options), "0 2 3");
  options.min_p_first = true;
  EXPECT_EQ(kept(example(), options), "0 2 3");
}

// Fish Speech's: 0.5 + 0.3 crosses 0.7, so that only the first one stays, whatever the temperature.
TEST(Sampling, WhatCrossesTopPMayGoBeforeTheTemperature) {
  const torch::Tensor scores = torch::tensor({{0.5F, 0.3F, 0.15F, 0.05F}}).log();
  SamplingOptions options;
  options.temperature = 2;
  options.top_p = 0.85;
  options.untempered = options.top_p_first = options.below_top_p = true;
  torch::Tensor kept = filter_scores(scores, options).softmax(-1);
  const double first = std::sqrt(0.5), second = std::sqrt(0.3);
  EXPECT_NEAR(kept[0][0].item<double>(), first / (first + second), 1e-6);
  EXPECT_EQ(kept[0][2].item<double>(), 0);
  options.top_p = 0.7;
  EXPECT_EQ(filter_scores(scores, options).softmax(-1)[0][0].item<double>(), 1);
  options.top_p = 0.1;
  EXPECT_EQ(filter_scores(scores, options).softmax(-1)[0][0].item<double>(), 1) << "one stays";
  options.top_p = 0.85;
  options.below_top_p = false;
  EXPECT_GT(filter_scores(scores, options).softmax(-1)[0][2].item<double>(), 0);
}

}  // namespace
}  // namespace ttsft
