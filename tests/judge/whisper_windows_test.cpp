#include "ttsft/judge/whisper_windows.h"

#include <gtest/gtest.h>

#include <string>

#include "whisper_support.h"

namespace ttsft {
namespace {

constexpr int64_t kEnd = 90, kFirst = 100;
using Ids = std::vector<int64_t>;

WindowText read(const Ids &tokens, int64_t frames = 3000) {
  return read_window(tokens, kEnd, kFirst, frames);
}

TEST(ReadWindow, WhatFollowsTheLastPairIsLeftToTheNextWindow) {
  const WindowText window = read({100, 1, 2, 350, 350, 3, 700, 720, 4, 5});
  EXPECT_EQ(window.text, (Ids{1, 2, 3}));
  EXPECT_EQ(window.frames, 1200);
}

TEST(ReadWindow, ATimestampAloneAtTheEndSaysThatNobodySpeaksBehindIt) {
  const WindowText window = read({100, 1, 2, 350, 350, 3, 700});
  EXPECT_EQ(window.text, (Ids{1, 2, 3}));
  EXPECT_EQ(window.frames, 3000);
}

TEST(ReadWindow, WithoutAPairAllIsKept) {
  EXPECT_EQ(read({100, 1, 2}, 800).text, (Ids{1, 2}));
  EXPECT_EQ(read({100, 1, 2}, 800).frames, 800);
  EXPECT_EQ(read({100, 1, 2, 350}).text, (Ids{1, 2}));
  EXPECT_EQ(read({}).frames, 3000);
}

TEST(ReadWindow, AStretchWithoutLengthIsNone) {
  EXPECT_EQ(read({100, 1, 200, 200, 7, 200, 300, 2, 400, 400}).text,
            (Ids{1, 2}));
}

TEST(ReadWindow, ItAlwaysGoesOn) {
  EXPECT_EQ(read({100, 100}).frames, 3000);
  EXPECT_EQ(read({100, 1, 900, 900}, 300).frames,
            300); // not behind the recording
}

TEST(CompressionRatio, IsNearZlibs) {
  const auto expected = test::whisper_json()["deflated"];
  ASSERT_GE(expected.size(), 8u);
  for (const auto &[text, size] :
       expected.get<std::vector<std::pair<std::string, double>>>()) {
    if (text.empty())
      continue;
    const double counted =
        static_cast<double>(text.size()) / compression_ratio(text);
    EXPECT_NEAR(counted, size, std::max(1.0, 0.02 * size)) << text;
  }
  EXPECT_EQ(compression_ratio(""), 0);
}

TEST(CompressionRatio, TellsTextsThatGoRoundInCircles) {
  std::string circles;
  for (int i = 0; i < 40; ++i)
    circles += "so it goes ";
  EXPECT_GT(compression_ratio(circles), 2.4);
  EXPECT_LT(compression_ratio("He might even have been made amiable himself."),
            2.4);
}

} // namespace
} // namespace ttsft
