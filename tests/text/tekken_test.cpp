// Mistral's byte pairs on a vocabulary small enough to follow by hand. Upstream's ids on the whole
// of a tekken.json stand in tests/models/voxtral.
#include "ttsft/text/tekken.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/text/split_patterns.h"

namespace ttsft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr int64_t kBytes = 256, kSpecials = 3;

// Bytes by rank, then these: "ab" 256, "bc" 257, "abc" 258; "zz" 259 is behind the cut.
Json vocabulary() {
  Json entries = Json::array();
  const auto add = [&](const std::string& base64) {
    entries.push_back({{"rank", entries.size()}, {"token_bytes", base64}, {"token_str", nullptr}});
  };
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int64_t byte = 0; byte < kBytes; ++byte)
    add({kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='});
  for (const char* base64 : {"YWI=", "YmM=", "YWJj", "eno="}) add(base64);
  return entries;
}

Json tekken() {
  return {{"config",
           {{"pattern", kMistralSplitPattern},
            {"num_vocab_tokens", kBytes + 4},
            {"default_vocab_size", kSpecials + kBytes + 3},
            {"default_num_special_tokens", kSpecials},
            {"version", "v7"}}},
          {"vocab", vocabulary()},
          {"special_tokens",
           {{{"rank", 0}, {"token_str", "<unk>"}}, {{"rank", 2}, {"token_str", "[AUDIO]"}}}}};
}

class TekkenTest : public testing::Test {
 protected:
  Tekken load(const Json& json) {
    folder_.write("tekken.json", json.dump());
    return Tekken::from_file(folder_ / "tekken.json");
  }
  std::string error_of(const Json& json) {
    return message_of<DataError>([&] { load(json); });
  }

  TemporaryFolder folder_;
};

int64_t id(int64_t rank) {
  return rank + kSpecials;
}

TEST_F(TekkenTest, TheLowestRankJoinsFirstAndAWholePieceIsLookedUp) {
  const Tekken tekken = load(ttsft::tekken());
  EXPECT_THAT(tekken.encode("ab"), ElementsAre(id(256)));
  EXPECT_THAT(tekken.encode("abc"), ElementsAre(id(258)));
  // "ab" goes before "bc", and then nothing joins "ab" and "bc".
  EXPECT_THAT(tekken.encode("abbc"), ElementsAre(id(256), id(257)));
  EXPECT_THAT(tekken.encode("aabcb"), ElementsAre(id('a'), id(258), id('b')));
  EXPECT_THAT(tekken.encode("é"), ElementsAre(id(0xc3), id(0xa9)));
  EXPECT_TRUE(tekken.encode("").empty());
}

TEST_F(TekkenTest, EntriesBehindTheCutAndSpelledSpecialsMeanNothing) {
  const Tekken tekken = load(ttsft::tekken());
  EXPECT_THAT(tekken.encode("zz"), ElementsAre(id('z'), id('z')));
  EXPECT_EQ(tekken.special("[AUDIO]"), 2);
  EXPECT_EQ(tekken.special("[TEXT]"), -1);
  EXPECT_EQ(tekken.encode("[AUDIO]").size(), 7u);
  EXPECT_EQ(tekken.size(), kSpecials + kBytes + 3);
}

TEST_F(TekkenTest, DamagedFilesAreNamed) {
  Json json = ttsft::tekken();
  json["config"]["pattern"] = R"(\S+)";
  EXPECT_THAT(error_of(json), HasSubstr("split pattern"));
  json = ttsft::tekken();
  json["vocab"][7]["token_bytes"] = "?";
  EXPECT_THAT(error_of(json), HasSubstr("entry 7"));
  json = ttsft::tekken();
  json["vocab"][9]["rank"] = 11;
  EXPECT_THAT(error_of(json), HasSubstr("entry 9"));
  json = ttsft::tekken();
  json["config"]["default_vocab_size"] = 1000;
  EXPECT_THAT(error_of(json), HasSubstr("260 entries of 997"));
  json.erase("vocab");
  EXPECT_THAT(error_of(json), HasSubstr("tekken.json"));
  EXPECT_THROW(load(ttsft::tekken()).encode("\xff"), DataError);
}

TEST_F(TekkenTest, AByteThatIsMissingIsNamed) {
  Json json = ttsft::tekken();
  json["vocab"]['q']["token_bytes"] = "cXE=";  // "qq"
  const Tekken tekken = load(json);
  EXPECT_THAT(message_of<DataError>([&] { tekken.encode("q"); }), HasSubstr("byte 113"));
}

}  // namespace
}  // namespace ttsft
