#include "ttsft/nn/token_rules.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

// Test for -inf too, of which a difference is no number.
void expect_equal(const torch::Tensor& got, const torch::Tensor& want, const std::string& what = "") {
  EXPECT_TRUE(torch::equal(got, want)) << what << "\n" << got << "\n" << want;
}

constexpr float kNever = -std::numeric_limits<float>::infinity();

TokenHistory history_of(const std::vector<std::vector<int64_t>>& said, int64_t vocabulary) {
  const auto rows = std::ssize(said);
  TokenHistory history{torch::zeros({rows, vocabulary}, torch::kBool),
                       torch::zeros({rows, 8}, torch::kInt64), torch::zeros({rows}, torch::kInt64)};
  for (int64_t row = 0; row < rows; ++row) {
    int64_t place = 0;
    for (const int64_t id : said[static_cast<size_t>(row)]) {
      history.seen[row][id] = true;
      history.tokens[row][place++] = id;
    }
    history.count[row] = place;
  }
  return history;
}

TEST(TokenRules, RepetitionPenaltyMakesWhatWasSaidLessLikely) {
  const torch::Tensor scores =
      torch::tensor({{2.0f, -2.0f, 3.0f, 0.0f, kNever}, {1.0f, 1.0f, 1.0f, 1.0f, 1.0f}});
  const TokenHistory history = history_of({{0, 1, 3, 4}, {4}}, 5);
  expect_equal(repetition_penalty(1.0)->apply(scores, history), scores);
  expect_equal(repetition_penalty(2.0)->apply(scores, history),
               torch::tensor({{1.0f, -4.0f, 3.0f, 0.0f, kNever}, {1.0f, 1.0f, 1.0f, 1.0f, 0.5f}}));
}

TEST(TokenRules, IdsThatAreNotAllowed) {
  const torch::Tensor allowed = torch::tensor({1, 0, 1}).to(torch::kBool);
  expect_equal(allowed_ids(allowed)->apply(torch::ones({2, 3}), {}),
               torch::tensor({{1.0f, kNever, 1.0f}, {1.0f, kNever, 1.0f}}));
}

TEST(TokenRules, NoEndBeforeEachRowsTime) {
  const TokenHistory history = history_of({{0, 0}, {0}}, 3);
  const torch::Tensor scores = torch::ones({2, 3});
  expect_equal(no_end_before(2, {1, 2})->apply(scores, history),
               torch::tensor({{1.0f, 1.0f, 1.0f}, {1.0f, kNever, kNever}}));
  expect_equal(scores, torch::ones({2, 3}), "what was given stays");
}

TEST(TokenRules, AreAppliedInOrder) {
  const TokenHistory history = history_of({{1}}, 2);
  const TokenRules rules = {repetition_penalty(2.0), allowed_ids(torch::tensor({0, 1}).to(torch::kBool))};
  expect_equal(apply_rules(rules, torch::tensor({{5.0f, 4.0f}}), history),
               torch::tensor({{kNever, 2.0f}}));
}

// Row after row in the words of the paper.
TEST(RepetitionAware, ReplacesADrawThatStandsAmongTheLatest) {
  const torch::Tensor steps = torch::zeros({4}, torch::kInt64);
  const NoiseSource noise(seed_words({1, 2, 3, 4}, torch::kCPU), steps);
  // The first draw is always 2; the other one is 1 unless 2 is left out, then 0 or 1.
  const torch::Tensor scores = torch::tensor({{0.0f, 0.0f, 50.0f}}).repeat({4, 1});
  RepetitionAware aware;
  aware.window = 3;
  aware.times = 2;
  aware.without_first = true;
  const TokenHistory history =
      history_of({{2, 0, 2}, {2, 2, 0, 2, 1}, {2, 2, 0, 1, 1}, {0, 1}}, 3);
  const torch::Tensor chosen = choose_tokens(scores, {}, aware, history, noise);
  EXPECT_NE(chosen[0].item<int64_t>(), 2) << "twice in the window";
  EXPECT_EQ(chosen[1].item<int64_t>(), 2) << "once in the window";
  EXPECT_EQ(chosen[2].item<int64_t>(), 2) << "the window has passed";
  EXPECT_EQ(chosen[3].item<int64_t>(), 2) << "fewer tokens than the window";
  aware.skip = 1;
  EXPECT_EQ(choose_tokens(scores, {}, aware, history, noise)[0].item<int64_t>(), 2)
      << "the first token never counts";
  aware.skip = 0;
  aware.only = torch::tensor({1, 1, 0}).to(torch::kBool);
  EXPECT_EQ(choose_tokens(scores, {}, aware, history, noise)[0].item<int64_t>(), 2)
      << "this id is never replaced";
  aware.only = torch::Tensor();
  aware.without_first = false;
  EXPECT_EQ(choose_tokens(scores, {}, aware, history, noise)[0].item<int64_t>(), 2)
      << "the other draw finds it again";
}

TEST(RepetitionAware, GreedyLooksAtNothing) {
  const NoiseSource noise(seed_words({1}, torch::kCPU), torch::zeros({1}, torch::kInt64));
  RepetitionAware aware;
  aware.without_first = true;
  const torch::Tensor chosen = choose_tokens(torch::tensor({{0.0f, 3.0f}}), {.greedy = true}, aware,
                                             history_of({{1, 1}}, 2), noise);
  EXPECT_EQ(chosen.item<int64_t>(), 1);
}

}  // namespace
}  // namespace ttsft
