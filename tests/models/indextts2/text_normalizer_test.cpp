#include "models/indextts2/text_normalizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::indextts2::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TextNormalizer without_grammars(std::vector<GlossaryTerm> glossary = {}) {
  return TextNormalizer(std::nullopt, std::move(glossary));
}

std::string plain(const std::string& text) {
  return without_grammars().normalize(text);
}

TEST(UseChinese, ByCharactersLettersMailAndPinyin) {
  EXPECT_TRUE(use_chinese("you 好"));
  EXPECT_TRUE(use_chinese("12.5"));
  EXPECT_TRUE(use_chinese(""));
  EXPECT_TRUE(use_chinese("éà"));  // no ASCII letter
  EXPECT_TRUE(use_chinese("abc@example.com"));
  EXPECT_TRUE(use_chinese("xuan4"));
  EXPECT_TRUE(use_chinese("a LÜ3"));
  EXPECT_FALSE(use_chinese("mail abc@example.com"));
  EXPECT_FALSE(use_chinese("beta1 voice2"));  // no syllable begins within a word
  EXPECT_FALSE(use_chinese("It is 12"));
}

TEST(CorrectPinyin, WritesUAfterJqxAsV) {
  EXPECT_EQ(correct_pinyin("xuan4"), "XVAN4");
  EXPECT_EQ(correct_pinyin("Jü2"), "JV2");
  EXPECT_EQ(correct_pinyin("que4"), "QVE4");
  EXPECT_EQ(correct_pinyin("jia1"), "JIA1");
  EXPECT_EQ(correct_pinyin("lüe4"), "lüe4");
  EXPECT_EQ(correct_pinyin("GAN3"), "GAN3");
}

TEST(TextNormalizer, MapsSigns) {
  EXPECT_EQ(plain("“So”: (yes); [no]—well..."), "'So', 'yes', 'no'-well…");
  EXPECT_EQ(plain("a\nb,,, c"), "a b… c");
  EXPECT_EQ(plain("你好，世界！《书》【一】、二·三……"), "你好,世界!'书''一',二-三…");
  EXPECT_EQ(plain("三个，，，逗号"), "三个,,,逗号");  // "，" is mapped before "，，，" is seen
}

TEST(TextNormalizer, WritesContractionsOut) {
  EXPECT_EQ(plain("Where's she's THAT'S John's"), "Where is she is THAT is John's");
  EXPECT_EQ(plain("where’s it"), "where's it");  // the typographic apostrophe is no contraction
}

TEST(TextNormalizer, PinyinAndNamesKeepTheirShape) {
  EXPECT_EQ(plain("晕XUAN4是一种GAN3觉"), "晕XVAN4是一种GAN3觉");
  EXPECT_EQ(plain("an4和xuan4"), "an4和XVAN4");  // the longer one first
  EXPECT_EQ(plain("约瑟夫·高登-莱维特"), "约瑟夫-高登-莱维特");
  std::string many, expected;
  for (const char* first : {"b", "p", "m", "f", "d", "t", "n", "l", "g", "k",
                            "h", "z", "c", "s", "r", "y", "w", "j", "q", "x"}) {
    for (const char* tone : {"1", "2"}) many += std::string(first) + "a" + tone + "好";
  }
  expected = plain(many);  // forty of them: more than there are letters
  EXPECT_THAT(expected, AllOf(HasSubstr("wa2好JA1好"), HasSubstr("XA2好")));
  EXPECT_THAT(expected, testing::Not(HasSubstr("<")));
}

TEST(TextNormalizer, TheGlossarySpeaksTheLanguageOfTheText) {
  const TemporaryFolder folder;
  const auto file = folder.write("glossary.yaml",
                                 "C: see\n"
                                 "C++:\n  en: C plus plus\n  zh: C 加加\n"
                                 "CMake: C Make\n"
                                 "Inc.:\n  en: Ink\n");
  const TextNormalizer text = without_grammars(read_glossary(file));
  EXPECT_EQ(text.normalize("use c++ and cmake"), "use see plus plus and see Make");
  EXPECT_EQ(text.normalize("用C++"), "用see 加加");
  EXPECT_EQ(text.normalize("Apple inc. 好"), "Apple Insee. 好");
}

TEST(TextNormalizer, ABrokenGlossaryIsNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { read_glossary(folder.write("g.yaml", "PI: 3.14\n")); }),
              AllOf(HasSubstr("'PI'"), HasSubstr("g.yaml"), HasSubstr("quotes")));
  EXPECT_THAT(
      message_of<DataError>([&] { read_glossary(folder.write("g.yaml", "PI: {en: [a]}\n")); }),
      HasSubstr("'PI'"));
}

TEST(TextNormalizer, RefusesWhatNeedsGrammarsWhereThereAreNone) {
  for (const char* text : {"It costs 12", "50 %", "你有3个", "½ cup", "a + b", "AT&T", "~"}) {
    EXPECT_THAT(message_of<DataError>([&] { plain(text); }),
                AllOf(HasSubstr(text), HasSubstr("tools/setup")));
  }
  EXPECT_EQ(plain("Well-known, isn't it?"), "Well-known, isn't it?");
  EXPECT_THROW(plain("a\xff"), DataError);
}

class WithGrammars : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = find_text_grammars({});
    if (!folder) GTEST_SKIP() << "tools/setup fetches the text grammars";
    text_.emplace(*folder);
  }
  std::string read(const std::string& text) { return text_->normalize(text); }

  std::optional<TextNormalizer> text_;
};

TEST_F(WithGrammars, HyphensOfTermsAreNoMinusSigns) {
  EXPECT_EQ(read("GPT-5-nano and F5-TTS"), "GPT-five-nano and F five-TTS");
  EXPECT_EQ(read("用GPT-5说话"), "用GPT-五说话");
}

TEST_F(WithGrammars, MarksStayAsideFromTheGrammar) {
  EXPECT_EQ(read("第2次xuan4，约瑟夫·高登-莱维特"), "第二次XVAN4,约瑟夫-高登-莱维特");
}

TEST_F(WithGrammars, KeepsErhuaAndInterjections) {
  EXPECT_EQ(read("嗯，这儿有3朵花儿"), "嗯,这儿有三朵花儿");
}

TEST_F(WithGrammars, WhatTheGrammarCannotReadStays) {
  EXPECT_EQ(read(std::string("nul\0x 3", 7)), std::string("nul\0x 3", 7));
}

}  // namespace
}  // namespace ttsft::indextts2::test
