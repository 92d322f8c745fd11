#include "ttsft/text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using testing::ElementsAre;

TEST(Regex, FindsFromLeftToRight) {
  EXPECT_THAT(Regex("[a-z]+").find_all("ab 12 é c"), ElementsAre("ab", "c"));
  EXPECT_THAT(Regex(R"(\p{L}+)").find_all("ab 12 éc 中"), ElementsAre("ab", "éc", "中"));
  EXPECT_TRUE(Regex("(?i)É").matches("é"));
  EXPECT_FALSE(Regex("x").matches("é"));
}

TEST(Regex, ReplacesWithGroups) {
  const Regex pair(R"((\w)(-)?(\w))");
  EXPECT_EQ(pair.replace("a-b cd!",
                         [](const Regex::Groups& groups) {
                           return std::string(groups[3]).append(groups[1]).append(
                               groups[2].empty() ? "+" : groups[2]);
                         }),
            "ba- dc+!");
  EXPECT_EQ(Regex("(a)|b").replace("ab",
                                   [](const Regex::Groups& groups) {
                                     return "<" + std::string(groups[0]) + std::string(groups[1]) +
                                            ">";
                                   }),
            "<aa><b>");
  EXPECT_EQ(Regex("").replace("é", [](const Regex::Groups&) { return "."; }), ".é.");
}

TEST(Regex, AnEscapedPatternMatchesItselfAlone) {
  const std::string literal = "C++ (5.0)\\E[é]|^$ #\n";
  const Regex pattern(escape_pattern(literal));
  EXPECT_THAT(pattern.find_all("x" + literal + literal), ElementsAre(literal, literal));
  EXPECT_FALSE(pattern.matches("C+ (5.0)"));
}

TEST(Regex, ABadPatternIsAUsageError) {
  EXPECT_THROW(Regex("(a"), UsageError);
}

}  // namespace
}  // namespace ttsft
