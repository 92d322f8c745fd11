#include "ttsft/codec/token_flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;
using ::testing::ElementsAre;

constexpr int64_t kMels = 4;

// dx/dt = x t + mu + speaker - 2 prompt, and what it was asked.
class PlainEstimator : public FlowEstimator {
 public:
  std::vector<torch::Tensor> embed_times(const torch::Tensor& times, const StageProbe&) override {
    ++embedded;
    return {times.unsqueeze(1), times * 2};
  }
  torch::Tensor velocity(const torch::Tensor& x, const std::vector<torch::Tensor>& time,
                         const FlowConditions& given, const StageProbe&) override {
    EXPECT_EQ(time.size(), 2u);
    rows.push_back(x.size(0));
    last = given;
    return x * time[0].unsqueeze(-1) + given.mu + given.speaker.unsqueeze(-1) - given.prompt * 2;
  }

  int embedded = 0;
  std::vector<int64_t> rows;
  FlowConditions last;
};

// Each code's vector three times over.
class PlainFlowImpl : public TokenFlowImpl {
 public:
  explicit PlainFlowImpl(const TokenFlowOptions& options) : TokenFlowImpl(options) {}
  FlowEstimator& network() override { return estimator; }
  PlainEstimator estimator;

 protected:
  torch::Tensor encode(const torch::Tensor& embedded, const RowLengths& given,
                       const StageProbe&) override {
    lengths = given;
    return embedded.repeat_interleave(options().frames_per_code, 1);
  }

 public:
  RowLengths lengths;
};
TORCH_MODULE(PlainFlow);

TokenFlowOptions options() {
  return {.codes = 9,
          .width = kMels,
          .speaker = 5,
          .mels = kMels,
          .frames_per_code = 3,
          .steps = 4,
          .guidance = 0.5};
}

PlainFlow make(const TokenFlowOptions& o) {
  PlainFlow flow(o);
  test::randomize(*flow);
  return flow;
}

FlowRow row(const std::vector<int64_t>& codes, int64_t prompt, uint64_t seed) {
  const auto count = static_cast<int64_t>(codes.size());
  return {torch::tensor(codes), random({prompt, kMels}, seed), random({5}, seed + 1),
          random({kMels, 3 * count}, seed + 2)};
}

// The solver written out for one row.
torch::Tensor written_out(PlainFlow& flow, const FlowRow& row) {
  const TokenFlowOptions& o = flow->options();
  const auto p = flow->named_parameters();
  const torch::Tensor mu =
      p["input_embedding.weight"].index_select(0, row.codes).repeat_interleave(3, 0).t();
  const torch::Tensor direction = row.embedding / row.embedding.norm();
  const torch::Tensor speaker =
      torch::mv(p["spk_embed_affine_layer.weight"], direction) + p["spk_embed_affine_layer.bias"];
  torch::Tensor prompt = torch::zeros_like(mu);
  prompt.narrow(1, 0, row.prompt_feat.size(0)).copy_(row.prompt_feat.t());
  torch::Tensor x = row.z;
  for (int64_t i = 0; i < o.steps; ++i) {
    const auto at = [&](int64_t k) {
      return 1 - std::cos(std::numbers::pi / 2 * double(k) / double(o.steps));
    };
    const torch::Tensor without = x * at(i),
                        with = without + mu + speaker.unsqueeze(1) - prompt * 2;
    x = x + (with * (1 + o.guidance) - without * o.guidance) * (at(i + 1) - at(i));
  }
  return x.narrow(1, row.prompt_feat.size(0), x.size(1) - row.prompt_feat.size(0));
}

TEST(TokenFlow, RowsOfUnequalLengthAreSolvedAsAlone) {
  const torch::NoGradGuard no_grad;
  PlainFlow flow = make(options());
  const std::vector<FlowRow> rows{row({1, 8, 0, 3}, 5, 10), row({2}, 0, 20), row({7, 7}, 6, 30)};
  const std::vector<torch::Tensor> mels = flow(rows);
  ASSERT_EQ(mels.size(), 3u);
  for (size_t i = 0; i < rows.size(); ++i) {
    expect_close(mels[i], written_out(flow, rows[i]), 1e-5, "row " + std::to_string(i));
  }
  EXPECT_EQ(mels[2].size(1), 0) << "all of it is prompt";
  EXPECT_THAT(flow->lengths, ElementsAre(4, 1, 2));
  EXPECT_EQ(flow->estimator.embedded, 1) << "all steps at once";
  EXPECT_THAT(flow->estimator.rows, ElementsAre(6, 6, 6, 6));
  const torch::Tensor real = flow->estimator.last.real;
  EXPECT_EQ(real.sizes(), (torch::IntArrayRef{6, 12}));
  expect_close(real.sum(1), torch::tensor({12, 3, 6, 12, 3, 6}), 0);
  EXPECT_TRUE(flow(std::span<const FlowRow>{}).empty());
}

TEST(TokenFlow, WithoutGuidanceOnlyTheConditionedRowsRun) {
  const torch::NoGradGuard no_grad;
  TokenFlowOptions o = options();
  o.guidance = 0;
  PlainFlow flow = make(o);
  const FlowRow one = row({4, 5}, 1, 3);
  expect_close(flow(std::span(&one, 1)).front(), written_out(flow, one), 1e-5);
  EXPECT_THAT(flow->estimator.rows, ElementsAre(1, 1, 1, 1));
  EXPECT_FALSE(flow->estimator.last.real.defined()) << "one row is always full";
}

TEST(TokenFlow, ConditionsWithoutAreZero) {
  FlowConditions given;
  given.mu = random({2, 3, 4}, 1);
  given.speaker = random({2, 3}, 2);
  given.prompt = random({2, 3, 4}, 3);
  const FlowConditions twice = given.with_unconditioned();
  for (const auto& [all, half] : {std::pair{twice.mu, given.mu},
                                  {twice.speaker, given.speaker},
                                  {twice.prompt, given.prompt}}) {
    expect_close(all.narrow(0, 0, 2), half, 0);
    EXPECT_EQ(all.narrow(0, 2, 2).abs().max().item<float>(), 0);
  }
  EXPECT_FALSE(twice.real.defined());
}

// The sound of a row is differentiable by the table of codes, through all steps.
TEST(TokenFlow, IsDifferentiable) {
  PlainFlow flow = make(options());
  torch::Tensor table = flow->named_parameters()["input_embedding.weight"];
  table.requires_grad_(true);
  const FlowRow one = row({4, 5}, 0, 3);
  flow(std::span(&one, 1)).front().sum().backward();
  const torch::Tensor used = table.grad().abs().sum(1) > 0;
  EXPECT_EQ(used.sum().item<int64_t>(), 2);
  EXPECT_TRUE(used[4].item<bool>() && used[5].item<bool>());
}

TEST(TokenFlow, RefusesAWrongRow) {
  PlainFlow flow = make(options());
  const auto refused = [&](FlowRow wrong) { EXPECT_THROW(flow(std::span(&wrong, 1)), DataError); };
  FlowRow wrong = row({4, 9}, 0, 3);
  refused(wrong);
  wrong = row({4, 5}, 7, 3);
  refused(wrong);
  wrong = row({4, 5}, 0, 3);
  wrong.z = wrong.z.slice(1, 1);
  refused(wrong);
  wrong = row({4, 5}, 0, 3);
  wrong.embedding = torch::zeros({4});
  refused(wrong);
}

}  // namespace
}  // namespace ttsft
