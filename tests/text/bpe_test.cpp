#include "ttsft/text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<int64_t>;
using testing::HasSubstr;

const fs::path kFolder = fs::path(TTSFT_FIXTURES) / "qwen3_tts" / "checkpoint";

const Bpe& qwen() {
  static const Bpe bpe = Bpe::from_folder(kFolder);
  return bpe;
}

Json expected() {
  std::ifstream in(fs::path(TTSFT_FIXTURES) / "qwen3_tts" / "expected" / "text.json");
  return Json::parse(in);
}

std::string assistant(const std::string& text) {
  return "<|im_start|>assistant\n" + text + "<|im_end|>\n<|im_start|>assistant\n";
}

// A tokenizer folder of a test's own: the 256 bytes, then what the test adds.
class OwnFolder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("ttsft_bpe_") + info->name() + "_" +
                                           std::to_string(std::random_device{}()));
    fs::create_directories(folder_);
    std::ifstream in(kFolder / "vocab.json");
    vocab_ = Json::parse(in);
    write("merges.txt", "#version: 0.2\n");
    write("tokenizer_config.json", "{}");
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void write_added(const Json& tokens) {  // id -> {content, ...}
    write("tokenizer_config.json", Json{{"added_tokens_decoder", tokens}}.dump());
  }
  Bpe load() {
    write("vocab.json", vocab_.dump());
    return Bpe::from_folder(folder_);
  }
  std::string error() {
    try {
      load();
    } catch (const DataError& e) {
      return e.what();
    }
    return "no error";
  }

  fs::path folder_;
  Json vocab_;
};

TEST(Bpe, EqualsUpstreamOnEveryRowAndTemplate) {
  const Json json = expected();
  ASSERT_GE(json["rows"].size(), 15u);
  for (const Json& row : json["rows"]) {
    const std::string text = row["text"];
    SCOPED_TRACE(text);
    EXPECT_EQ(assistant(text), row["assistant_prompt"].get<std::string>());
    EXPECT_EQ(qwen().encode(assistant(text)), row["ids_assistant"].get<Ids>());
    EXPECT_EQ(qwen().encode("<|im_start|>assistant\n" + text + "<|im_end|>\n"),
              row["ids_ref"].get<Ids>());
    EXPECT_EQ(qwen().encode("<|im_start|>user\n" + text + "<|im_end|>\n"),
              row["ids_instruct"].get<Ids>());
  }
}

TEST(Bpe, EqualsUpstreamWithMistralsPattern) {
  const Bpe mistral = Bpe::from_folder(kFolder, kMistralSplitPattern);
  const Json json = expected();
  int differing = 0;
  for (const Json& row : json["rows"]) {
    const std::string text = row["text"];
    SCOPED_TRACE(text);
    const Ids ids = mistral.encode(assistant(text));
    EXPECT_EQ(ids, row["ids_assistant_mistral_split"].get<Ids>());
    differing += ids != qwen().encode(assistant(text));
  }
  EXPECT_GT(differing, 0) << "the rows must tell the two patterns apart";
}

TEST(Bpe, SplitPatternsAreThoseOfTheRelease) {
  const Json json = expected();
  EXPECT_EQ(json["split_qwen2"].get<std::string>(), kQwen2SplitPattern);
  EXPECT_EQ(json["split_mistral"].get<std::string>(), kMistralSplitPattern);
}

TEST(Bpe, KnowsItsTokens) {
  const Json json = expected();
  for (const auto& [token, id] : json["special_ids"].items()) {
    EXPECT_EQ(qwen().id(token), id.get<int64_t>()) << token;
    EXPECT_EQ(qwen().encode(token), Ids{id.get<int64_t>()}) << token;
  }
  EXPECT_EQ(qwen().id("!"), 0);
  EXPECT_EQ(qwen().id("<|no_such_token|>"), -1);
  EXPECT_EQ(qwen().size(), 570);
}

TEST(Bpe, DecodesWhatItEncoded) {
  const Json json = expected();
  for (const Json& row : json["rows"]) {
    // NFC is the one thing that encoding changes: the rows that are not composed come back
    // composed.
    const std::string text = row["text"];
    const std::string once = qwen().decode(qwen().encode(text));
    EXPECT_EQ(qwen().encode(once), qwen().encode(text)) << text;
  }
  EXPECT_EQ(qwen().decode(qwen().encode("你好 <|im_end|>\n")), "你好 <|im_end|>\n");
  EXPECT_EQ(qwen().decode(Ids{}), "");
}

TEST(Bpe, DecodesHalfACharacterAsReplacement) {
  const Ids ids =
      qwen().encode("\xf0\x9f\x98\x80");  // an emoji that the tiny vocabulary has as bytes
  ASSERT_EQ(ids.size(), 4u);
  EXPECT_EQ(qwen().decode(std::span(ids).first(3)), "\xef\xbf\xbd");
}

TEST(Bpe, ComposesBeforeSplitting) {
  EXPECT_EQ(qwen().encode("cafe\xcc\x81"), qwen().encode("caf\xc3\xa9"));
  EXPECT_EQ(qwen().encode("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"), qwen().encode("\xed\x95\x9c"));
}

TEST(Bpe, EmptyTextHasNoTokens) {
  EXPECT_TRUE(qwen().encode("").empty());
}

TEST(Bpe, RefusesInvalidUtf8) {
  for (const char* bad :
       {"caf\xe9", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "ab\xe4\xbd"}) {
    EXPECT_THROW(qwen().encode(bad), DataError);
  }
  try {
    qwen().encode("abc\xff");
    FAIL();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("byte 3"));
  }
}

TEST(Bpe, RefusesUnknownIds) {
  EXPECT_THROW(qwen().decode(Ids{570}), DataError);
  EXPECT_THROW(qwen().decode(Ids{-1}), DataError);
}

TEST(Bpe, LongRunsAreFastAndWhole) {
  const std::string spaces(50000, ' '), letters(50000, 'e'), marks(50000, '!');
  for (const std::string& text : {spaces, letters, marks, spaces + "x" + marks}) {
    EXPECT_EQ(qwen().decode(qwen().encode(text)), text);
  }
}

TEST(Bpe, SeveralThreadsGetTheSameIds) {
  const std::string text = assistant("He was not an ill-disposed young man, naïve café 你好。");
  const Ids want = qwen().encode(text);
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (bool& ok : same) {
    threads.emplace_back([&] {
      ok = true;
      for (int i = 0; i < 200; ++i) ok = ok && qwen().encode(text) == want;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(same, testing::Each(true));
}

TEST_F(OwnFolder, LowestRankGoesFirstAndTiesGoLeft) {
  vocab_ = Json::object();
  for (const char* token : {"a", "b", "c", "ab", "bc", "abc", "aa", "aaaa"}) {
    vocab_[token] = vocab_.size();
  }
  write("merges.txt", "#version: 0.2\nb c\na b\na bc\na a\naa aa\n");
  const Bpe bpe = load();
  EXPECT_EQ(bpe.encode("abc"), (Ids{bpe.id("abc")}));    // b c first, then a bc
  EXPECT_EQ(bpe.encode("aab"), (Ids{0, bpe.id("ab")}));  // a b outranks a a
  EXPECT_EQ(bpe.encode("aaa"), (Ids{bpe.id("aa"), 0}));
  EXPECT_EQ(bpe.encode("aaaaaa"), (Ids{bpe.id("aaaa"), bpe.id("aa")}));
  EXPECT_THROW(bpe.encode("d"),
               DataError);  // a byte that the vocabulary lacks is said, not dropped
}

TEST_F(OwnFolder, LongestAddedTokenWinsAndStripsSpaces) {
  write_added({{"600", {{"content", "<a>"}}},
               {"601", {{"content", "<a><b>"}}},
               {"602", {{"content", "<m>"}, {"lstrip", true}, {"rstrip", true}}},
               {"603", {{"content", "<w>"}, {"single_word", true}}}});
  const Bpe bpe = load();
  EXPECT_EQ(bpe.encode("<a><b><a>"), (Ids{601, 600}));
  EXPECT_EQ(bpe.encode("! \t<m>\xc2\xa0 !"), (Ids{0, 602, 0}));
  EXPECT_EQ(bpe.encode("<m> <m>"), (Ids{602, 602}));
  EXPECT_EQ(bpe.encode("!<w>!"), (Ids{0, 603, 0}));
  EXPECT_THAT(bpe.encode("x<w>"), testing::Not(testing::Contains(603)));
  EXPECT_EQ(bpe.size(), 604);
}

TEST_F(OwnFolder, NormalizedAddedTokensAreFoundAfterComposition) {
  write_added({{"600", {{"content", "\xc3\xa9!"}, {"normalized", true}}},
               {"601", {{"content", "\xc3\xa8!"}, {"normalized", false}}}});
  const Bpe bpe = load();
  EXPECT_EQ(bpe.encode("e\xcc\x81!"), (Ids{600}));
  EXPECT_THAT(bpe.encode("e\xcc\x80!"), testing::Not(testing::Contains(601)));
  EXPECT_EQ(bpe.encode("\xc3\xa8!"), (Ids{601}));
}

TEST_F(OwnFolder, ReadsAddedTokensOfTokenizerJson) {
  write("tokenizer.json", R"({"added_tokens": [{"id": 700, "content": "<|im_start|>"}]})");
  EXPECT_EQ(load().encode("<|im_start|>"), (Ids{700}));
  write_added({{"650", {{"content", "<|im_start|>"}}}});  // the config has its own: it wins
  EXPECT_EQ(load().encode("<|im_start|>"), (Ids{650}));
}

TEST_F(OwnFolder, NamesWhatIsWrong) {
  write("merges.txt",
        "#version: 0.2\ne r\nq \xc4\xa0"
        "z\n");
  EXPECT_THAT(error(), AllOf(HasSubstr("merges.txt:3"), HasSubstr("vocab.json")));
  write("merges.txt", "#version: 0.2\ne\n");
  EXPECT_THAT(error(), HasSubstr("merges.txt:2"));
  write("merges.txt", "");
  write_added({{"0", {{"content", "<x>"}}}});
  EXPECT_THAT(error(), HasSubstr("clashes"));
  write_added({{"one", {{"content", "<x>"}}}});
  EXPECT_THAT(error(), HasSubstr("'one'"));
  write_added({{"600", {{"content", ""}}}});
  EXPECT_THAT(error(), HasSubstr("no content"));
  write_added({{"4000000000", {{"content", "<x>"}}}});
  EXPECT_THAT(error(), HasSubstr("4000000000"));
  write("tokenizer_config.json", "[");
  EXPECT_THAT(error(), HasSubstr("tokenizer_config.json"));
  fs::remove(folder_ / "tokenizer_config.json");
  EXPECT_THAT(error(), HasSubstr("tokenizer_config.json is missing"));
  fs::remove(folder_ / "merges.txt");
  EXPECT_THAT(error(), HasSubstr("merges.txt"));
  vocab_["!"] = "zero";
  EXPECT_THAT(error(), HasSubstr("no integer id"));
  vocab_["!"] = 99999999;
  EXPECT_THAT(error(), HasSubstr("99999999"));
  vocab_ = Json::array();
  EXPECT_THAT(error(), HasSubstr("vocab.json"));
}

TEST(BpePattern, InvalidPatternIsAUsageErrorWithItsPosition) {
  try {
    Bpe::from_folder(kFolder, "a(b");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("a(b"), HasSubstr("character 3")));
  }
  EXPECT_THROW(Bpe::from_folder(kFolder, "[\\S]+"), UsageError);
}

}  // namespace
}  // namespace ttsft
