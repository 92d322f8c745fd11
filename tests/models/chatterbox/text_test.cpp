#include "models/chatterbox/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::chatterbox::test {
namespace {

using Ids = std::vector<int64_t>;
using Json = nlohmann::json;

const std::filesystem::path kFolder = std::filesystem::path(TTSFT_FIXTURES) / "chatterbox";

Json read(const std::filesystem::path& file) {
  std::ifstream in(file);
  return Json::parse(in);
}

Json text_json() {
  return read(kFolder / "expected" / "text.json");
}

const TextFrontend& frontend() {
  static const TextFrontend text(kFolder / "checkpoint");
  return text;
}

TEST(TextFrontend, NormalisesAndEncodesAsUpstream) {
  const Json rows = text_json()["with_punc_norm"];
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    EXPECT_EQ(punc_norm(row["text"]), row["normalized"]);
    EXPECT_EQ(frontend().encode(row["text"]), row["ids"].get<Ids>()) << row["text"];
  }
}

TEST(TextFrontend, EncodesNormalisedTextAsUpstream) {
  const Json rows = text_json()["tokenizer_only"];
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) {
    EXPECT_EQ(frontend().tokens(row["text"]), row["ids"].get<Ids>()) << row["text"];
  }
}

TEST(TextFrontend, StartAndStopAreTheTokenizers) {
  const Json json = text_json();
  EXPECT_EQ(frontend().start(), json["start_text_token"]);
  EXPECT_EQ(frontend().stop(), json["stop_text_token"]);
  EXPECT_GT(frontend().size(), frontend().start());
}

TEST(PuncNorm, KeepsUpstreamsSurprises) {
  EXPECT_EQ(punc_norm(" lower stays"), "lower stays.");
  EXPECT_EQ(punc_norm("ßa"), "SSa.");
  EXPECT_EQ(punc_norm("   "), ".");
  EXPECT_EQ(punc_norm("a....b"), "A, .b.");
  EXPECT_EQ(punc_norm("a - - b"), "A, - b.");
  EXPECT_EQ(punc_norm("wait; — “so”…"), "Wait,  - \"so\",");
  EXPECT_EQ(punc_norm("x\x1cy\u2003z?"), "X y z?");
  EXPECT_THROW(punc_norm("\xc3("), DataError);
}

TEST(TextFrontend, CountsUnknownCharacters) {
  EXPECT_DOUBLE_EQ(frontend().unknown_share(frontend().encode("中文")), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(frontend().unknown_share(frontend().encode("Yes.")), 0.0);
  EXPECT_DOUBLE_EQ(frontend().unknown_share({}), 0.0);
}

TEST(TextFrontend, RefusesControlTokensTypedInTheText) {
  for (const std::string token : {"[START]", "[STOP]"}) {
    EXPECT_THAT(message_of<DataError>([&] { frontend().encode("He said " + token + " twice"); }),
                testing::HasSubstr("control token " + token));
  }
}

TEST(TextFrontend, RefusesATokenizerWithoutItsOwnTokens) {
  const Json whole = read(kFolder / "checkpoint" / "tokenizer.json");
  for (const std::string token : {"[START]", "[STOP]", "[SPACE]"}) {
    Json json = whole;
    json["model"]["vocab"].erase(token);
    json["added_tokens"].erase(
        std::remove_if(json["added_tokens"].begin(), json["added_tokens"].end(),
                       [&](const Json& entry) { return entry["content"] == token; }),
        json["added_tokens"].end());
    const TemporaryFolder folder;
    folder.write("tokenizer.json", json.dump());
    EXPECT_THAT(message_of<DataError>([&] { TextFrontend{folder.path()}; }),
                testing::HasSubstr("no " + token));
  }
}

}  // namespace
}  // namespace ttsft::chatterbox::test
