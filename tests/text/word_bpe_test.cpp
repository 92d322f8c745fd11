#include "ttsft/text/word_bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int64_t>;
using testing::HasSubstr;

// Letters a to e and what merges make of them.
Json small_tokenizer() {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", "[UNK]"},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"vocab",
                 {{"[UNK]", 0},
                  {"a", 1},
                  {"b", 2},
                  {"c", 3},
                  {"!", 4},
                  {"é", 5},
                  {"_", 6},
                  {"ab", 7},
                  {"bc", 8},
                  {"abc", 9},
                  {"!!", 10}}},
                {"merges", {"b c", "a b", "a bc", "! !"}}};
  Json added = Json::array();
  for (const auto& [token, id] : {std::pair{"[UNK]", 0}, {"[a]", 11}, {"[ab]", 12}, {"<ab", 13}}) {
    added.push_back({{"id", id},
                     {"content", token},
                     {"special", true},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Whitespace"}}},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", model}};
}

class OwnFile : public testing::Test {
 protected:
  WordBpe load() { return WordBpe::from_file(folder_.write("tokenizer.json", json_.dump())); }
  Ids encode(const std::string& text) { return load().encode(text); }
  std::string error() {
    return message_of<DataError>([&] { load(); });
  }

  TemporaryFolder folder_;
  Json json_ = small_tokenizer();
};

TEST_F(OwnFile, MergesByRankThenFromTheLeft) {
  EXPECT_EQ(encode("abc"), (Ids{9}));  // b c first, then a bc
  EXPECT_EQ(encode("aab"), (Ids{1, 7}));
  EXPECT_EQ(encode("!!!"), (Ids{10, 4}));
}

TEST_F(OwnFile, TakesMergesAsPairs) {
  json_["model"]["merges"] = Json::parse(R"([["b","c"],["a","b"],["a","bc"],["!","!"]])");
  EXPECT_EQ(encode("abc ab"), (Ids{9, 7}));
}

TEST_F(OwnFile, WordsPunctuationAndSpaceAreApart) {
  EXPECT_EQ(encode("ab!!ab"), (Ids{7, 10, 7}));
  EXPECT_EQ(encode("a b"), (Ids{1, 2}));
  EXPECT_EQ(encode(" \t\n\u3000"), Ids{});
  EXPECT_EQ(encode("a_b"), (Ids{1, 6, 2}));  // one word, but nothing joins
  EXPECT_EQ(encode("! !"), (Ids{4, 4}));
}

TEST_F(OwnFile, UnknownCharactersAreOneUnknownEach) {
  EXPECT_EQ(encode("中文"), (Ids{0, 0}));
  EXPECT_EQ(encode("aé😀b"), (Ids{1, 5, 0, 2}));
  EXPECT_EQ(load().unknown_id(), 0);
}

TEST_F(OwnFile, AddedTokensAreLeftmostAndLongest) {
  EXPECT_EQ(encode("[a][ab]"), (Ids{11, 12}));
  EXPECT_EQ(encode("<ab[a]c"), (Ids{13, 11, 3}));
  EXPECT_EQ(encode("[UNK]"), (Ids{0}));
  EXPECT_EQ(encode("a[ab]b"), (Ids{1, 12, 2}));  // nothing merges across
}

TEST_F(OwnFile, IdsAndSize) {
  const WordBpe bpe = load();
  EXPECT_EQ(bpe.id("abc"), 9);
  EXPECT_EQ(bpe.id("[ab]"), 12);
  EXPECT_EQ(bpe.id("xyz"), -1);
  EXPECT_EQ(bpe.size(), 14);
}

TEST_F(OwnFile, InvalidUtf8IsRefused) {
  const WordBpe bpe = load();
  EXPECT_THROW(bpe.encode("a\xff"), DataError);
}

TEST_F(OwnFile, NamesWhateverItDoesNotDo) {
  const auto refused = [&](const char* pointer, const Json& value) {
    json_ = small_tokenizer();
    json_[Json::json_pointer(pointer)] = value;
    return error();
  };
  EXPECT_THAT(
      refused("/normalizer", {{"type", "NFKC"}}),
      testing::AllOf(HasSubstr("normalizer"), HasSubstr("NFKC"), HasSubstr("tokenizer.json")));
  EXPECT_THAT(refused("/pre_tokenizer", {{"type", "ByteLevel"}}), HasSubstr("ByteLevel"));
  EXPECT_THAT(refused("/pre_tokenizer", nullptr), HasSubstr("pre_tokenizer"));
  EXPECT_THAT(refused("/post_processor", {{"type", "TemplateProcessing"}}),
              HasSubstr("TemplateProcessing"));
  EXPECT_THAT(refused("/model/type", "WordPiece"), HasSubstr("WordPiece"));
  EXPECT_THAT(refused("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(refused("/model/fuse_unk", true), HasSubstr("fuse_unk"));
  EXPECT_THAT(refused("/model/byte_fallback", true), HasSubstr("byte_fallback"));
  EXPECT_THAT(refused("/model/ignore_merges", true), HasSubstr("ignore_merges"));
  EXPECT_THAT(refused("/model/continuing_subword_prefix", "##"), HasSubstr("##"));
  EXPECT_THAT(refused("/model/unk_token", nullptr), HasSubstr("unk_token"));
  EXPECT_THAT(refused("/model/unk_token", "<unk>"), HasSubstr("'<unk>' is not in the vocabulary"));
  EXPECT_THAT(refused("/truncation", {{"max_length", 8}}), HasSubstr("truncation"));
}

TEST_F(OwnFile, NamesDamage) {
  json_["model"]["merges"].push_back("a z");
  EXPECT_THAT(error(), HasSubstr("merge 4 names a symbol that is not in the vocabulary"));
  json_ = small_tokenizer();
  json_["model"]["merges"].push_back("abc");
  EXPECT_THAT(error(), HasSubstr("merge 4 is not two symbols"));
  json_ = small_tokenizer();
  json_["added_tokens"][1]["id"] = 3;
  EXPECT_THAT(error(), HasSubstr("clashes with 'c'"));
  EXPECT_THAT(message_of<DataError>([&] { WordBpe::from_file(folder_ / "absent.json"); }),
              HasSubstr("absent.json"));
  EXPECT_THROW(WordBpe::from_file(folder_.write("broken.json", "{")), DataError);
}

TEST(WordBpe, EqualsUpstreamOnChatterboxText) {
  const auto folder = std::filesystem::path(TTSFT_FIXTURES) / "chatterbox";
  const WordBpe bpe = WordBpe::from_file(folder / "checkpoint" / "tokenizer.json");
  std::ifstream in(folder / "expected" / "text.json");
  const Json rows = Json::parse(in)["tokenizer_only"];
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    std::string text = row["text"];
    for (size_t at = text.find(' '); at != std::string::npos; at = text.find(' ', at)) {
      text.replace(at, 1, "[SPACE]");
    }
    EXPECT_EQ(bpe.encode(text), row["ids"].get<Ids>()) << row["text"];
  }
}

}  // namespace
}  // namespace ttsft
