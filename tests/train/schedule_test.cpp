#include "ttsft/train/schedule.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

ScheduleConfig schedule(const std::string& name, int64_t warmup) {
  ScheduleConfig config;
  config.name = name;
  config.warmup_steps = warmup;
  return config;
}

TEST(Schedule, ConstantIsThePeakAfterTheWarmUp) {
  const ScheduleConfig config = schedule("constant", 4);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 1, 40), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 3, 40), 1.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 4, 40), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 40, 40), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(schedule("constant", 0), 2.0, 1, 10), 2.0);
}

TEST(Schedule, LinearFallsFromThePeakWithoutAnEmptyStep) {
  const ScheduleConfig config = schedule("linear", 2);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 2, 22), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 3, 22), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 8, 22), 0.75);
  EXPECT_NEAR(learning_rate_at(config, 1.0, 22, 22), 0.05, 1e-12);
}

TEST(Schedule, CosineIsHalfWayInTheMiddle) {
  const ScheduleConfig config = schedule("cosine", 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 1, 8), 1.0);
  EXPECT_NEAR(learning_rate_at(config, 1.0, 5, 8), 0.5, 1e-12);
  EXPECT_GT(learning_rate_at(config, 1.0, 8, 8), 0.0);
}

// A hundred steps of warm-up are usual, and pilots are shorter.
TEST(Schedule, AWarmUpTakesATenthOfTheRunAtMost) {
  const ScheduleConfig config = schedule("constant", 100);
  EXPECT_EQ(warmup_steps(config, 2000), 100);
  EXPECT_EQ(warmup_steps(config, 500), 50);
  EXPECT_EQ(warmup_steps(config, 8), 1);
  EXPECT_EQ(warmup_steps(schedule("constant", 0), 8), 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 1, 8), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 25, 500), 0.5);
}

}  // namespace
}  // namespace ttsft
