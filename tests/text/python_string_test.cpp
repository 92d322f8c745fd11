#include "ttsft/text/python_string.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ttsft {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(PythonString, StripsAndSplitsAtUnicodeWhiteSpace) {
  EXPECT_EQ(strip(" \t a\u00a0b \u3000\n"), "a\u00a0b");
  EXPECT_EQ(strip_end(" a \x1c\x1f"), " a");
  EXPECT_EQ(strip("\u200b"), "\u200b");  // the zero-width space is none
  EXPECT_EQ(strip(" \n"), "");
  EXPECT_THAT(split_words("  a\u2003b\x1e\n c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split_words(" "), IsEmpty());
}

TEST(PythonString, UpperCaseIsTheFullMapping) {
  EXPECT_EQ(upper_case("naïve straße ŉ ﬁ \u0390"), "NAÏVE STRASSE ʼN FI \u0399\u0308\u0301");
  EXPECT_EQ(upper_case("istanbul ά 中 ａ"), "ISTANBUL Ά 中 Ａ");
  EXPECT_EQ(upper_case(""), "");
}

TEST(PythonString, RaisesTheFirstCharacterAlone) {
  EXPECT_EQ(upper_case_first("été là"), "Été là");
  EXPECT_EQ(upper_case_first("ßa"), "SSa");
  EXPECT_EQ(upper_case_first(" a"), " a");
  EXPECT_EQ(upper_case_first("ǅ"), "ǅ");  // title case is not lower case
  EXPECT_EQ(upper_case_first(""), "");
}

TEST(PythonString, ReplacesFromTheLeftWithoutLookingBack) {
  EXPECT_EQ(replace_all("aaaa", "aa", "a"), "aa");
  EXPECT_EQ(replace_all("a—b—", "—", "-"), "a-b-");
  EXPECT_EQ(replace_all("abc", "x", "y"), "abc");
}

TEST(PythonString, Characters) {
  EXPECT_THAT(split_characters("aé中😀"), ElementsAre("a", "é", "中", "😀"));
  EXPECT_EQ(first_code_point("😀a"), 0x1f600);
  EXPECT_EQ(first_code_point(""), -1);
}

}  // namespace
}  // namespace ttsft
