#include "ttsft/core/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ttsft/core/log.h"

namespace ttsft {
namespace {

TEST(ClockText, MinutesAndHours) {
  EXPECT_EQ(clock_text(0), "0:00");
  EXPECT_EQ(clock_text(75.4), "1:15");
  EXPECT_EQ(clock_text(59.6), "1:00");
  EXPECT_EQ(clock_text(3675), "1:01:15");
}

TEST(ProgressText, CountsRateAndTimeLeft) {
  EXPECT_EQ(progress_text("encode", 20, 100, "clips", 10, "", false),
            "encode: 20/100 clips, 2.0/s, 0:40 left");
  EXPECT_EQ(progress_text("encode", 20, 100, "clips", 80, "2 refused", false),
            "encode: 20/100 clips, 0.25/s, 5:20 left, 2 refused");
  EXPECT_EQ(progress_text("encode", 100, 100, "clips", 0.4, "", true),
            "encode: 100/100 clips, 250/s, took 0:00");
}

TEST(ProgressText, UnknownTotalOrNothingDone) {
  EXPECT_EQ(progress_text("read", 30, 0, "rows", 10, "", false), "read: 30 rows, 3.0/s");
  EXPECT_EQ(progress_text("read", 0, 5, "rows", 10, "", false), "read: 0/5 rows");
  EXPECT_EQ(progress_text("read", 0, 5, "rows", 0, "", false), "read: 0/5 rows");
}

class ProgressLines : public ::testing::Test {
 protected:
  void TearDown() override { init_logging(/*quiet=*/true); }  // as test_main.cpp left it

  static std::string run(bool quiet) {
    ::testing::internal::CaptureStderr();
    init_logging(quiet);
    {
      Progress progress("encode", 400, "clips");
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 100; ++i) progress.advance();
        });
      }
      threads.clear();
      progress.finish();
    }  // finishes once only
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(ProgressLines, OneLastLineOffTheTerminal) {
  EXPECT_THAT(run(false),
              ::testing::MatchesRegex("encode: 400/400 clips, [0-9.e+]+/s, took 0:00\n"));
}

TEST_F(ProgressLines, QuietSaysNothing) {
  EXPECT_EQ(run(true), "");
}

TEST_F(ProgressLines, EndedByAnErrorSaysHowFar) {
  ::testing::internal::CaptureStderr();
  init_logging(false);
  { Progress progress("encode", 4, "clips"); }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "encode: 0/4 clips, took 0:00\n");
}

}  // namespace
}  // namespace ttsft
