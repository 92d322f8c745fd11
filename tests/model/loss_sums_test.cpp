#include "ttsft/model/loss_sums.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

struct NoTensors : Batch {
  void each(const std::function<void(torch::Tensor&)>&) override {}
};

NoTensors batch_of(std::vector<std::string> ids) {
  NoTensors batch;
  batch.ids = std::move(ids);
  return batch;
}

LossTerm term(const std::string& name, double weight, torch::Tensor nll, std::vector<int64_t> row,
              torch::Tensor correct = {}) {
  return {name, weight, std::move(nll), std::move(correct), torch::tensor(row)};
}

// Three utterances of 1, 2 and 4 tokens: a mean of means would be 2.0.
struct ThreeUtterances : ::testing::Test {
  ThreeUtterances() {
    sums.add(batch_of({"a", "b"}), {term("lm", 1.0, torch::tensor({1.f, 2.f, 4.f}), {0, 1, 1},
                                         torch::tensor({true, false, true})),
                                    term("sub", 0.5, torch::tensor({{1.f, 3.f}, {5.f, 7.f}}),
                                         {1, 1}, torch::tensor({{true, false}, {true, true}}))});
    sums.add(batch_of({"c"}),
             {term("lm", 1.0, torch::full({4}, 2.f), {0, 0, 0, 0}, torch::zeros({4}, torch::kBool)),
              term("sub", 0.5, torch::tensor({{9.f, 2.f}}), {0}, torch::tensor({{false, true}}))});
  }
  LossSums sums;
};

TEST_F(ThreeUtterances, MeanIsOverTokens) {
  const LossTotals totals = sums.totals();
  const TermTotals& lm = totals.terms.at("lm");
  EXPECT_EQ(lm.tokens, 7);
  EXPECT_DOUBLE_EQ(lm.sum, 15.0);
  EXPECT_DOUBLE_EQ(lm.mean(), 15.0 / 7);
  EXPECT_EQ(lm.correct, 2);
  EXPECT_TRUE(lm.sum_per_codebook.empty());
  EXPECT_EQ(lm.tokens_per_codebook, 0);
}

TEST_F(ThreeUtterances, CodebooksAreKeptApart) {
  const LossTotals totals = sums.totals();
  const TermTotals& sub = totals.terms.at("sub");
  EXPECT_EQ(sub.tokens, 6);
  EXPECT_EQ(sub.tokens_per_codebook, 3);
  EXPECT_DOUBLE_EQ(sub.sum, 27.0);
  EXPECT_EQ(sub.sum_per_codebook, (std::vector<double>{15.0, 12.0}));
  EXPECT_EQ(sub.correct_per_codebook, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(sub.correct, 4);
}

TEST_F(ThreeUtterances, TotalIsTheWeightedSumOfMeans) {
  EXPECT_DOUBLE_EQ(sums.totals().loss(), 15.0 / 7 + 0.5 * 27.0 / 6);
}

TEST_F(ThreeUtterances, EachUtteranceHasItsOwn) {
  const auto by_id = sums.utterances();
  ASSERT_EQ(by_id.size(), 3U);
  EXPECT_DOUBLE_EQ(by_id.at("a").loss(), 1.0);  // no token of `sub`
  EXPECT_EQ(by_id.at("a").terms.at("sub").tokens, 0);
  EXPECT_DOUBLE_EQ(by_id.at("b").loss(), 3.0 + 0.5 * 16.0 / 4);
  EXPECT_EQ(by_id.at("b").terms.at("sub").correct_per_codebook, (std::vector<int64_t>{2, 1}));
  EXPECT_DOUBLE_EQ(by_id.at("c").loss(), 2.0 + 0.5 * 11.0 / 2);
}

TEST(LossSums, SplittingABatchChangesNothing) {
  const torch::Tensor nll = torch::rand({6, 3});
  LossSums whole, parts;
  whole.add(batch_of({"a", "b", "c"}), {term("x", 1.0, nll, {0, 1, 1, 2, 2, 2})});
  parts.add(batch_of({"c", "a"}),
            {term("x", 1.0, torch::cat({nll.slice(0, 3), nll.slice(0, 0, 1)}), {0, 0, 0, 1})});
  parts.add(batch_of({"b"}), {term("x", 1.0, nll.slice(0, 1, 3), {0, 0})});
  EXPECT_NEAR(whole.totals().loss(), parts.totals().loss(), 1e-12);
  for (const auto& [id, losses] : whole.utterances()) {
    EXPECT_NEAR(losses.loss(), parts.utterances().at(id).loss(), 1e-12) << id;
  }
}

TEST(LossSums, KeepsNoGraph) {
  LossSums sums;
  const torch::Tensor weight = torch::ones({2}).requires_grad_();
  sums.add(batch_of({"a"}), {term("x", 1.0, weight * 3, {0, 0})});
  EXPECT_DOUBLE_EQ(sums.totals().loss(), 3.0);
}

TEST(LossSums, AccuracyIsOptional) {
  LossSums sums;
  sums.add(batch_of({"a"}), {term("x", 2.0, torch::tensor({{1.f, 2.f}}), {0})});
  EXPECT_TRUE(sums.totals().terms.at("x").correct_per_codebook.empty());
  EXPECT_FALSE(sums.totals().terms.at("x").correct.has_value());
  EXPECT_DOUBLE_EQ(sums.totals().loss(), 3.0);
}

TEST(LossSums, SharesAreTheDenominator) {
  LossSums sums;
  LossTerm masked = term("flow", 1.0, torch::tensor({6.f, 0.f, 4.f}), {0, 0, 1});
  masked.share = torch::tensor({2.f, 0.f, 3.f});
  sums.add(batch_of({"a", "b"}), {masked});
  EXPECT_DOUBLE_EQ(sums.totals().terms.at("flow").tokens, 5.0);
  EXPECT_DOUBLE_EQ(sums.totals().loss(), 2.0);
  EXPECT_DOUBLE_EQ(sums.utterances().at("a").loss(), 3.0);
}

TEST(LossSums, NothingAddedIsNothing) {
  EXPECT_TRUE(LossSums().totals().terms.empty());
  EXPECT_EQ(LossSums().totals().loss(), 0.0);
}

TEST(LossSums, TokensWithoutRowsAreAnError) {
  LossSums sums;
  EXPECT_THROW(sums.add(batch_of({"a"}), {term("x", 1.0, torch::ones({2}), {0})}),
               std::logic_error);
}

}  // namespace
}  // namespace ttsft
