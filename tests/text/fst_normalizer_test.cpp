#include "ttsft/text/fst_normalizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "tests/text/fst_support.h"
#include "ttsft/core/error.h"

namespace ttsft::test {
namespace {

using testing::HasSubstr;

const std::string kAlphabet = "abcdefghijklmnopqrstuvwxyz {}:\"";

// Grammars that show the way a text takes: the tagger makes `w { v: "..." }` of it, the verbalizer
// writes [...] around that, the Chinese steps before and behind write s and n.
class OwnGrammars : public testing::Test {
 protected:
  void SetUp() override {
    for (const std::string language : {"en", "zh"}) {
      write(language + "/tn/tagger.fst", wrapping_fst("w { v: \"", kAlphabet, "\" } "));
      write(language + "/tn/verbalizer.fst", wrapping_fst("[", kAlphabet, "]"));
    }
    write("traditional_to_simple.fst", wrapping_fst("s", kAlphabet, ""));
    write("full_to_half.fst", wrapping_fst("", kAlphabet + "[]", "n"));
  }
  void write(const std::string& name, const FstFile& file) { folder_.write(name, file.bytes()); }
  FstNormalizer load(GrammarLanguage language) {
    return FstNormalizer::from_folder(folder_.path(), language);
  }

  TemporaryFolder folder_;
};

TEST_F(OwnGrammars, TagsReordersAndVerbalises) {
  EXPECT_EQ(load(GrammarLanguage::kEnglish).normalize("so it is"), "[w { v: \"so it is\" }]");
}

TEST_F(OwnGrammars, ChineseIsSimplifiedBeforeAndNarrowedBehind) {
  EXPECT_EQ(load(GrammarLanguage::kChinese).normalize("so"), "[w { v: \"sso\" }]n");
}

TEST_F(OwnGrammars, NothingWhereTheGrammarHasNoReading) {
  EXPECT_EQ(load(GrammarLanguage::kEnglish).normalize("1"), std::nullopt);
  EXPECT_EQ(load(GrammarLanguage::kChinese).normalize("1"), std::nullopt);
  EXPECT_EQ(load(GrammarLanguage::kEnglish).normalize("a\"b"), std::nullopt);  // not a token then
}

TEST_F(OwnGrammars, AMissingFileIsNamed) {
  std::filesystem::remove(folder_ / "full_to_half.fst");
  EXPECT_NO_THROW(load(GrammarLanguage::kEnglish));
  EXPECT_THAT(message_of<DataError>([&] { load(GrammarLanguage::kChinese); }),
              HasSubstr("full_to_half.fst"));
}

TEST_F(OwnGrammars, TheCheckpointsOwnComeFirst) {
  const TemporaryFolder checkpoint;
  EXPECT_NE(find_text_grammars(checkpoint.path()), checkpoint / "wetext");
  std::filesystem::copy(folder_.path(), checkpoint / "wetext",
                        std::filesystem::copy_options::recursive);
  EXPECT_EQ(find_text_grammars(checkpoint.path()), checkpoint / "wetext");
  std::filesystem::remove(checkpoint / "wetext/zh/tn/tagger.fst");
  EXPECT_NE(find_text_grammars(checkpoint.path()), checkpoint / "wetext");
}

TEST(IsPlainText, LettersAndPunctuationAlone) {
  EXPECT_TRUE(is_plain_text("Well-known, isn't it? “Yes” (é) 你好。"));
  EXPECT_TRUE(is_plain_text(""));
  for (const char* text : {"a1", "½", "Ⅷ", "$", "a+b", "50%", "A&B", "a/b", "x@y", "#", "°", "~"}) {
    EXPECT_FALSE(is_plain_text(text)) << text;
  }
}

// The grammars of WeTextProcessing 1.2.0 with what its own runtime says.
class RealGrammars : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = find_text_grammars({});
    if (!folder_) GTEST_SKIP() << "tools/setup fetches the text grammars";
  }
  void expect(GrammarLanguage language,
              const std::vector<std::pair<const char*, const char*>>& rows) {
    const FstNormalizer normalizer = FstNormalizer::from_folder(*folder_, language);
    for (const auto& [written, spoken] : rows) {
      EXPECT_EQ(normalizer.normalize(written), spoken) << written;
    }
  }

  std::optional<std::filesystem::path> folder_;
};

TEST_F(RealGrammars, English) {
  expect(GrammarLanguage::kEnglish,
         {{"It costs $12.50 on 3rd May 2024.",
           "It costs twelve point five dollars on third May twenty twenty four."},
          {"Mr. Smith", "Mister Smith"},
          // Readings of one weight: the choice is the one that OpenFst makes.
          {"100", "one hundred"},
          {"101", "one hundred and one"},
          {"1001111", "one million one thousand one hundred and eleven"},
          {"-12kg", "negative twelve kilograms"},
          {"3.5 cm²", "three point five square centimeters"},
          {"#1, 100km/h,", "number one, one hundred kilometers per hour,"},
          {"12 ½", "twelve and a half"},
          {"  ", ""}});
}

TEST_F(RealGrammars, Chinese) {
  expect(GrammarLanguage::kChinese,
         {{"这是1024元的手机，你要吗？", "这是一千零二十四元的手机,你要吗?"},
          {"這兒ＡＢＣ", "这儿ABC"},
          {"", ""}});
}

}  // namespace
}  // namespace ttsft::test
