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
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 1, 10), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 3, 10), 1.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 4, 10), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 2.0, 10, 10), 2.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(schedule("constant", 0), 2.0, 1, 10), 2.0);
}

TEST(Schedule, LinearFallsFromThePeakWithoutAnEmptyStep) {
  const ScheduleConfig config = schedule("linear", 2);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 2, 6), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 3, 6), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 4, 6), 0.75);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 6, 6), 0.25);
}

TEST(Schedule, CosineIsHalfWayInTheMiddle) {
  const ScheduleConfig config = schedule("cosine", 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 1, 8), 1.0);
  EXPECT_NEAR(learning_rate_at(config, 1.0, 5, 8), 0.5, 1e-12);
  EXPECT_GT(learning_rate_at(config, 1.0, 8, 8), 0.0);
}

TEST(Schedule, AWarmUpLongerThanTheRunIsCut) {
  const ScheduleConfig config = schedule("linear", 100);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 1, 4), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1.0, 4, 4), 1.0);
}

}  // namespace
}  // namespace ttsft
