#include "ttsft/text/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SplitSentences, EndsAtMarksAndKeepsThem) {
  EXPECT_THAT(split_sentences("  He came. She went!  Did they? Yes\xe2\x80\xa6 "),
              ElementsAre("He came.", "She went!", "Did they?", "Yes\xe2\x80\xa6"));
  EXPECT_THAT(split_sentences("It cost 3.50 dollars. Fine."),
              ElementsAre("It cost 3.50 dollars.", "Fine."));
  EXPECT_THAT(split_sentences("\xe2\x80\x9cGo.\xe2\x80\x9d He went."),
              ElementsAre("\xe2\x80\x9cGo.\xe2\x80\x9d", "He went."));
}

TEST(SplitSentences, EnglishAbbreviationsDoNotEndOne) {
  EXPECT_THAT(split_sentences("Mr. Bennet was odd. Mrs. Bennet was not."),
              ElementsAre("Mr. Bennet was odd.", "Mrs. Bennet was not."));
  EXPECT_THAT(split_sentences("See Dr. Grant at 3 p.m. Then go."),
              testing::Contains(HasSubstr("Dr. Grant")));
}

TEST(SplitSentences, ChineseAndJapaneseMarksNeedNoSpace) {
  EXPECT_THAT(split_sentences("你好。今天天气很好！去吗？"),
              ElementsAre("你好。", "今天天气很好！", "去吗？"));
  EXPECT_THAT(split_sentences("これは本です。そうですか。"),
              ElementsAre("これは本です。", "そうですか。"));
}

TEST(SplitSentences, ParagraphsEndSentences) {
  EXPECT_THAT(split_sentences("A title\n\nThe text."), ElementsAre("A title", "The text."));
  EXPECT_TRUE(split_sentences("").empty());
  EXPECT_TRUE(split_sentences(" \n\xe3\x80\x80 ").empty());
}

TEST(SplitSentences, RefusesInvalidUtf8) {
  EXPECT_THROW(split_sentences("a\xff"), DataError);
}

TEST(SplitByPattern, TheMatchStaysWithThePieceBefore) {
  EXPECT_THAT(split_by_pattern("one | two | three", "\\|"), ElementsAre("one |", "two |", "three"));
  EXPECT_THAT(split_by_pattern("你好。再见。", "。"), ElementsAre("你好。", "再见。"));
  EXPECT_THAT(split_by_pattern("no match", ";"), ElementsAre("no match"));
  EXPECT_THAT(split_by_pattern("a;;b;", ";"), ElementsAre("a;", ";", "b;"));
  EXPECT_TRUE(split_by_pattern("", ";").empty());
}

TEST(SplitByPattern, EmptyMatchesAreCutsToo) {
  EXPECT_THAT(split_by_pattern("Go! Now? Yes", "(?<=[!?])"), ElementsAre("Go!", "Now?", "Yes"));
  EXPECT_THAT(split_by_pattern("\xc3\xa9\xc3\xa8", "x*"), ElementsAre("\xc3\xa9", "\xc3\xa8"));
}

TEST(SplitByPattern, BadExpressionIsAUsageErrorWithItsPosition) {
  try {
    split_by_pattern("text", "[a-");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("[a-"), HasSubstr("character 3")));
  }
  EXPECT_THROW(split_by_pattern("\xff", "a"), DataError);
}

TEST(SplitByPattern, EndlessBacktrackingIsAUsageError) {
  EXPECT_THROW(split_by_pattern(std::string(40, 'a') + "!", "(a+)+(a+)+(a+)+$"), UsageError);
}

TEST(PackPieces, JoinsUpToTheLimit) {
  const std::vector<std::string> pieces = {"One.", "Two.", "Three.", "Four."};
  EXPECT_THAT(pack_pieces(pieces, 9), ElementsAre("One. Two.", "Three.", "Four."));
  EXPECT_THAT(pack_pieces(pieces, 1000), ElementsAre("One. Two. Three. Four."));
  EXPECT_THAT(pack_pieces({"", "  ", "a"}, 9), ElementsAre("a"));
  EXPECT_TRUE(pack_pieces({}, 9).empty());
}

TEST(PackPieces, CountsCharactersNotBytes) {
  EXPECT_THAT(pack_pieces({"你好。", "再见。"}, 6),
              ElementsAre("你好。再见。"));  // and adds no space
  EXPECT_THAT(pack_pieces({"你好。", "再见。"}, 5), ElementsAre("你好。", "再见。"));
  EXPECT_THAT(pack_pieces({"안녕", "세상"}, 9), ElementsAre("안녕 세상"));
}

TEST(PackPieces, BreaksALongPieceAtSpacesAndClauseMarks) {
  EXPECT_THAT(pack_pieces({"He had 1,000 pounds, and more"}, 12),
              ElementsAre("He had 1,000", "pounds, and", "more"));
  EXPECT_THAT(pack_pieces({"今天天气，很好很好"}, 6), ElementsAre("今天天气，", "很好很好"));
  EXPECT_THAT(pack_pieces({"他说“好，”然后走了"}, 7), ElementsAre("他说“好，”", "然后走了"));
  EXPECT_THAT(pack_pieces({"abcdefgh"}, 3), ElementsAre("abc", "def", "gh"));
  for (const std::string& piece : pack_pieces({std::string(50, 'x') + " yy zz", "w"}, 7)) {
    EXPECT_LE(count_characters(piece), 7);
  }
}

TEST(PackPieces, KeepsCombiningMarksWithTheirLetter) {
  EXPECT_THAT(pack_pieces({"abe\xcc\x81zz"}, 3), ElementsAre("ab", "e\xcc\x81z", "z"));
}

TEST(HalvePieces, BreakBetweenWordsUntilTheyFit) {
  const auto most = [](int64_t characters) {
    return [characters](const std::string& piece) { return count_characters(piece) <= characters; };
  };
  EXPECT_THAT(halve_pieces({"one two three four", "five"}, most(18)),
              ElementsAre("one two three four", "five"));
  EXPECT_THAT(halve_pieces({"one two three four", "five"}, most(10)),
              ElementsAre("one two", "three four", "five"));
  EXPECT_THAT(halve_pieces({"a supercalifragilistic end"}, most(22)),
              ElementsAre("a", "supercalifragilistic", "end"));
  EXPECT_THAT(halve_pieces({"\u4f60\u597d\uff0c\u4e16\u754c"}, most(3)),
              ElementsAre("\u4f60\u597d\uff0c", "\u4e16\u754c"));
  EXPECT_THAT(halve_pieces({"abcdef"}, most(2)), ElementsAre("ab", "c", "de", "f"));
  EXPECT_THAT(halve_pieces({"a"}, most(0)), ElementsAre("a"));
}

TEST(PackPieces, ALimitBelowOneIsAUsageError) {
  EXPECT_THROW(pack_pieces({"a"}, 0), UsageError);
}

}  // namespace
}  // namespace ttsft
