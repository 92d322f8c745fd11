#include "src/train/step_memory.h"

#include "train_support.h"
#include "ttsft/model/load_stage.h"

namespace ttsft {
namespace {

struct StepMemoryTest : ::testing::Test, test::ToyRun {
  StepMemoryTest() : ToyRun({40, 60, 50, 70, 40, 60}) {}

  Samples samples() {
    const auto stage = adapter.make_stage({config}, base());
    return read_samples(*stage, PreparedSet::open(config.data.prepared, "toy").train);
  }
  CheckpointRef base() const { return {"base", config.checkpoint, CheckpointKind::kBase}; }
  StepMemory count(std::initializer_list<int64_t> rows) {
    return count_step_memory(config, adapter, base(), samples(), std::vector<int64_t>(rows));
  }
};

TEST_F(StepMemoryTest, CountsWeightsAndOptimizerByTheirTypes) {
  constexpr int64_t kBlock = 512, kTensors = 6;  // the allocator's step rounds every tensor up
  config.precision = "fp32";
  const StepMemory wide = count({0, 1});
  EXPECT_GE(wide.weights, 4 * (88 + 64 + 64 + 88 + 176 + 64));
  EXPECT_LE(wide.weights, 4 * (88 + 64 + 64 + 88 + 176 + 64) + kTensors * kBlock);
  EXPECT_EQ(wide.optimizer, 64 * 12);
  EXPECT_EQ(wide.rows, 2);
  EXPECT_EQ(wide.positions, 120);
  config.train.method = "full";
  config.precision = "bf16";
  EXPECT_EQ(count({0, 1}).optimizer, 480 * (12 + 4 + 2));
  EXPECT_LT(count({0, 1}).weights, wide.weights);
  EXPECT_EQ(wide.total(), wide.weights + wide.optimizer + wide.activations);
}

TEST_F(StepMemoryTest, ActivationsGrowWithPositions) {
  const StepMemory one = count({0}), two = count({0, 4}), four = count({0, 4, 0, 4});
  EXPECT_GT(one.activations, 0);
  EXPECT_GT(two.activations, one.activations);
  const auto growth = static_cast<double>(four.activations - two.activations);
  EXPECT_NEAR(growth / static_cast<double>(two.activations - one.activations), 2, 0.4);
}

TEST(FittingBatch, Fits) {
  test::ToyRun run(std::vector<int64_t>(8, 70));
  RunConfig& config = run.config;
  const CheckpointRef base{"base", config.checkpoint, CheckpointKind::kBase};
  config.train.batch_utterances.reset();
  const auto stage = run.adapter.make_stage({config}, base);
  const Samples set = read_samples(*stage, PreparedSet::open(config.data.prepared, "toy").train);
  const std::vector<int64_t> lengths(set.size(), set.front()->length);
  const auto largest = [&](int64_t tokens) {
    config.train.batch_tokens = tokens;
    Sampler sampler(lengths, {.batch_tokens = tokens});
    return count_largest_step(config, run.adapter, base, set, sampler);
  };
  const int64_t all = set.front()->length * 8;
  const StepMemory most = largest(all);
  EXPECT_EQ(most.positions, all);
  const auto fitting = [&](int64_t bytes) {
    config.train.batch_tokens = all;
    Sampler sampler(lengths, {.batch_tokens = all});
    return fitting_batch(config, run.adapter, base, set, sampler, most, bytes);
  };
  EXPECT_EQ(fitting(most.total()), all) << "nothing to change";
  const int64_t bytes = most.total() - most.activations / 3;
  const int64_t tokens = fitting(bytes);
  EXPECT_GT(tokens, all / 3);
  EXPECT_LT(tokens, all);
  EXPECT_LE(largest(tokens).total(), bytes);
  EXPECT_EQ(fitting(most.weights), 0) << "not even one clip";
}

TEST_F(StepMemoryTest, ADryRunSaysIt) {
  const auto result = train({.dry_run = true});
  const auto& step = result.at("plan").at("gpu_step");
  EXPECT_GT(step.at("activation_bytes").get<int64_t>(), 0);
  EXPECT_EQ(step.at("positions"), 140);
  EXPECT_NE(describe_train(result).find("on a GPU a step takes about "), std::string::npos);
}

}  // namespace
}  // namespace ttsft
