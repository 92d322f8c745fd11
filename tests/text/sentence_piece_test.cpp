#include "ttsft/text/sentence_piece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using testing::HasSubstr;
using Pieces = std::vector<std::string>;

const std::filesystem::path kFolder = std::filesystem::path(TTSFT_FIXTURES) / "indextts2";

const SentencePiece& model() {
  static const SentencePiece model = SentencePiece::from_file(kFolder / "checkpoint/bpe.model");
  return model;
}

TEST(SentencePiece, EqualsUpstream) {
  std::ifstream in(kFolder / "expected/text.json");
  const auto json = nlohmann::json::parse(in);
  EXPECT_EQ(model().size(), json["vocab_size"]);
  EXPECT_EQ(model().unknown_id(), json["unk"]);
  ASSERT_FALSE(json["rows"].empty());
  for (const auto& row : json["rows"]) {
    if (row["text"].get<std::string>().size() == 1) continue;
    const Pieces pieces = model().pieces(row["pretokenized"].get<std::string>());
    EXPECT_EQ(pieces, row["pieces"].get<Pieces>());
    EXPECT_EQ(model().ids(pieces), row["ids"].get<std::vector<int64_t>>());
  }
}

TEST(SentencePiece, ARunOfUnknownCharactersIsOnePiece) {
  const Pieces pieces = model().pieces("A😀😀");
  ASSERT_FALSE(pieces.empty());
  EXPECT_EQ(pieces.back(), "😀😀");
  EXPECT_EQ(model().id("😀😀"), model().unknown_id());
  EXPECT_TRUE(model().pieces("").empty());
}

TEST(SentencePiece, NamesWhatItCannotRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { SentencePiece::from_file(folder / "absent.model"); }),
              HasSubstr("absent.model"));
  for (const char* content : {"", "no model", "\x0a\x02"}) {
    EXPECT_THAT(message_of<DataError>(
                    [&] { SentencePiece::from_file(folder.write("own.model", content)); }),
                HasSubstr("own.model"));
  }
  EXPECT_THROW(model().pieces("a\xff"), DataError);
}

}  // namespace
}  // namespace ttsft
