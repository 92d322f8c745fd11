#include "ttsft/core/error.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

TEST(Error, SaysWhatWhereAndRemedy) {
  EXPECT_STREQ(DataError("no samples", "a.wav", "record it again").what(),
               "no samples: a.wav; record it again");
  EXPECT_STREQ(DataError("no samples", "a.wav").what(), "no samples: a.wav");
  EXPECT_STREQ(DataError("no samples", "", "record it again").what(),
               "no samples; record it again");
  EXPECT_STREQ(DataError("no samples").what(), "no samples");
}

TEST(Error, FoldsLineBreaks) {
  EXPECT_STREQ(RunError("\nfirst line\n  second  line\r\n\n", "in\ta.wav\n", "try\nagain").what(),
               "first line second  line: in\ta.wav; try again");
}

TEST(Error, KindsCarryTheirExitCode) {
  EXPECT_EQ(RunError("x").code(), ExitCode::kRunFailed);
  EXPECT_EQ(UsageError("x").code(), ExitCode::kUsage);
  EXPECT_EQ(DataError("x").code(), ExitCode::kBadData);
  EXPECT_EQ(CheckError("x").code(), ExitCode::kCheckFailed);
  EXPECT_EQ(static_cast<int>(ExitCode::kCheckFailed), 4);
}

}  // namespace
}  // namespace ttsft
