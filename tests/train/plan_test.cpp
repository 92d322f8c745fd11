#include "src/train/plan.h"

#include "train_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

struct PlanTest : ::testing::Test, test::ToyRun {
  nlohmann::ordered_json plan() { return train({.dry_run = true}).at("plan"); }
};

TEST_F(PlanTest, EpochsBecomeSteps) {
  config.train.steps.reset();
  config.train.epochs = 2.5;
  config.train.accumulate = 2;  // 3 batches: 2 steps an epoch
  const auto json = plan();
  EXPECT_EQ(json["steps"], 5);
  EXPECT_EQ(json["steps_per_epoch"], 2);
  EXPECT_EQ(json["batches_per_epoch"], 3);
  EXPECT_NEAR(json["epochs"].get<double>(), 2.5, 1e-9);
  config.train.epochs = 0.01;
  EXPECT_EQ(plan()["steps"], 1);
}

TEST_F(PlanTest, CountsWhatIsTrainedAndWhatItCosts) {
  config.train.schedule.warmup_steps = 50;
  const auto lora = plan();
  EXPECT_EQ(lora["trainable_parameters"], 64);
  EXPECT_EQ(lora["total_parameters"], 88 + 64 + 64 + 88 + 176 + 64 + 64);
  EXPECT_EQ(lora["memory_bytes"], 64 * 12);  // gradient and two moments
  EXPECT_EQ(lora["warmup_steps"], 1) << "a tenth of three steps, but one";
  EXPECT_EQ(lora["tokens_per_step"], 32.0 / 3);
  config.train.method = "full";
  config.precision = "bf16";
  const auto full = plan();
  EXPECT_EQ(full["trainable_parameters"], 88 + 64 + 64 + 88 + 176);
  EXPECT_EQ(full["memory_bytes"], 480 * (12 + 4 + 2));  // and the master, and a gradient in bf16
  EXPECT_GT(full["disk_bytes"].get<int64_t>(), 480 * 4);
}

TEST_F(PlanTest, ZeroStepsAreRefused) {
  config.train.steps = 0;
  EXPECT_THROW(plan(), UsageError);
  config.train.steps = 5;
  test::write_toy_set(config.data.prepared, {4, 4}, /*validation=*/2);
  const std::string message = message_of<UsageError>([&] { plan(); });
  EXPECT_NE(message.find("no training clips"), std::string::npos) << message;
}

TEST_F(PlanTest, DryRunListsSitesAndWritesNothing) {
  const auto result = train({.dry_run = true});
  EXPECT_EQ(result["sites"], (std::vector<std::string>{"layer.q_proj", "layer.up_proj"}));
  EXPECT_FALSE(std::filesystem::exists(config.run));
  const std::string text = describe_train(result);
  EXPECT_NE(text.find("would train toy (lora) for 3 steps over 6 clips"), std::string::npos)
      << text;
  EXPECT_NE(text.find("  layer.up_proj\n"), std::string::npos) << text;
}

TEST(BytesText, ChoosesTheUnit) {
  EXPECT_EQ(bytes_text(1500), "1.5 kB");
  EXPECT_EQ(bytes_text(2'500'000), "2.5 MB");
  EXPECT_EQ(bytes_text(7'250'000'000), "7.2 GB");
}

}  // namespace
}  // namespace ttsft
