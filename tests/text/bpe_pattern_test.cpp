#include "src/text/bpe_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ttsft/text/bpe.h"

namespace ttsft {
namespace {

using testing::ElementsAre;

std::vector<std::string_view> qwen(std::string_view text) {
  static const BpePattern pattern(kQwen2SplitPattern);
  return pattern.split(text);
}

std::vector<std::string_view> mistral(std::string_view text) {
  static const BpePattern pattern(kMistralSplitPattern);
  return pattern.split(text);
}

TEST(BpePattern, Qwen2CutsWordsDigitsMarksAndContractions) {
  EXPECT_THAT(qwen("It's 12:30, DON'T!"),
              ElementsAre("It", "'s", " ", "1", "2", ":", "3", "0", ",", " DON", "'T", "!"));
  EXPECT_THAT(qwen("iPhone OpenAI"), ElementsAre("iPhone", " OpenAI"));
  EXPECT_THAT(qwen("a  b \n\n c"), ElementsAre("a", " ", " b", " \n\n", " c"));
  EXPECT_THAT(qwen("'\xc5\xbf"), ElementsAre("'\xc5\xbf"));  // long s folds to s
}

TEST(BpePattern, MistralCutsBeforeCapitals) {
  EXPECT_THAT(mistral("iPhone OpenAI"), ElementsAre("i", "Phone", " Open", "AI"));
  EXPECT_THAT(mistral("'tis"), ElementsAre("'tis"));
}

TEST(BpePattern, SpacesAreUnicodesWhiteSpace) {
  for (const char* space : {"\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\x82", "\xe2\x80\xa8",
                            "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"}) {
    EXPECT_THAT(qwen(std::string("!") + space + "!"), ElementsAre("!", space, "!"));
  }
  // U+180E (no longer a space), U+200B, U+FEFF stay with the marks around them.
  for (const char* other : {"\xe1\xa0\x8e", "\xe2\x80\x8b", "\xef\xbb\xbf"}) {
    const std::string text = std::string("!") + other + "!";
    EXPECT_THAT(qwen(text), ElementsAre(text));
  }
}

TEST(BpePattern, LosesNoText) {
  const BpePattern letters("[a-z]+");
  EXPECT_THAT(letters.split("12ab--c!"), ElementsAre("12", "ab", "--", "c", "!"));
  EXPECT_TRUE(letters.split("").empty());
  const BpePattern empty("x*");
  EXPECT_THAT(empty.split("axb"), ElementsAre("a", "x", "b"));
}

TEST(SpellOutSpaces, LeavesOtherEscapesAlone) {
  EXPECT_EQ(spell_out_spaces(R"([^\r\n\p{L}]\\s\[)"), R"([^\r\n\p{L}]\\s\[)");
  EXPECT_EQ(spell_out_spaces(R"(\s)").front(), '[');
  EXPECT_EQ(spell_out_spaces(R"([^\s])").substr(0, 7), R"([^\x{9})");
  EXPECT_EQ(spell_out_spaces(R"(\S)").substr(0, 2), "[^");
}

}  // namespace
}  // namespace ttsft
