#include "ttsft/core/strings.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

using Strings = std::vector<std::string>;

TEST(Text, LowerAsciiLeavesOtherBytes) {
  EXPECT_EQ(to_lower_ascii("AZaz09 É"), "azaz09 É");
}

TEST(Text, Trim) {
  EXPECT_EQ(trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a||b|", '|'), (Strings{"a", "", "b", ""}));
  EXPECT_EQ(split("", '|'), Strings{""});
}

TEST(Text, JoinUndoesSplit) {
  EXPECT_EQ(join({"a", "", "b"}, ", "), "a, , b");
  EXPECT_EQ(join({}, ", "), "");
}

TEST(Nearest, FindsTypos) {
  const Strings known = {"steps", "stage", "batch_tokens", "batch_utterances", "learning_rate"};
  EXPECT_EQ(nearest("setps", known), "steps");  // swapped letters are one mistake
  EXPECT_EQ(nearest("step", known), "steps");
  EXPECT_EQ(nearest("batch-token", known), "batch_tokens");
  EXPECT_EQ(nearest("LearningRate", known), "learning_rate");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("optimizer", {"steps", "stage"}), "");
  EXPECT_EQ(nearest("lr", {"run", "seed"}), "");
  EXPECT_EQ(nearest("steps", {}), "");
}

}  // namespace
}  // namespace ttsft
