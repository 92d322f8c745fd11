#include "models/indextts2/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft::indextts2::test {
namespace {

using Ids = std::vector<int64_t>;
using Pieces = std::vector<std::string>;
using Json = nlohmann::json;

const std::filesystem::path kFolder = std::filesystem::path(TTSFT_FIXTURES) / "indextts2";
const std::filesystem::path kCheckpoint = kFolder / "checkpoint";

Json text_json() {
  std::ifstream in(kFolder / "expected" / "text.json");
  return Json::parse(in);
}

// Rows of text.json as they are normalised: what is tested here begins behind that.
TextFrontend without_normalizer() {
  TextOptions options;
  options.normalize = false;
  return TextFrontend(kCheckpoint, options);
}

TEST(TextFrontend, EncodesNormalisedTextAsUpstream) {
  const TextFrontend text = without_normalizer();
  const Json json = text_json();
  EXPECT_EQ(text.size(), json["vocab_size"]);
  for (const Json& row : json["rows"]) {
    const std::string normalized = row["normalized"];
    EXPECT_EQ(pretokenize(normalized), row["pretokenized"]);
    EXPECT_EQ(text.pieces(normalized), row["pieces"].get<Pieces>()) << normalized;
    EXPECT_EQ(text.encode(normalized), row["ids"].get<Ids>()) << normalized;
  }
}

TEST(TextFrontend, CutsSegmentsAsUpstream) {
  const Json json = text_json();
  for (const Json& row : json["rows"]) {
    const Pieces pieces = row["pieces"];
    const int64_t small = row["segments_small_max"];
    const auto cut = [&](int64_t max_tokens, int64_t quick_tokens) {
      return Json(split_segments(pieces, {max_tokens, quick_tokens}));
    };
    EXPECT_EQ(cut(120, 0), row["segments_120"]) << row["text"];
    EXPECT_EQ(cut(small, 0), row["segments_small"]) << row["text"];
    EXPECT_EQ(cut(small, 4), row["segments_small_quick4"]) << row["text"];
  }
}

TEST(TextFrontend, ReadsRawTextAsUpstream) {
  if (!find_text_grammars(kCheckpoint)) GTEST_SKIP() << "tools/setup fetches the text grammars";
  const TextFrontend text(kCheckpoint);
  const Json json = text_json();
  for (const Json& row : json["rows"]) {
    EXPECT_EQ(text.normalize(row["text"]), row["normalized"]);
    EXPECT_EQ(text.encode(row["text"]), row["ids"].get<Ids>()) << row["text"];
  }
}

TEST(TextFrontend, ASingleCharacterIsNotNormalised) {
  const TextFrontend text = without_normalizer();
  EXPECT_EQ(text.pieces(" a "), text.pieces("a"));
  EXPECT_NE(text.pieces("a"), text.pieces("A"));
  EXPECT_EQ(text.encode("aa"), text.encode("AA"));
}

TEST(TextFrontend, BlankTextHasNoIds) {
  const TextFrontend text = without_normalizer();
  EXPECT_TRUE(text.encode("").empty());
  EXPECT_TRUE(text.encode(" \n\u3000").empty());
  EXPECT_TRUE(text.segments("  ", {}).empty());
}

TEST(TextFrontend, SegmentsHaveTheirIdsAndText) {
  const TextFrontend text = without_normalizer();
  const std::string content = "HE WAS NOT AN ILL-DISPOSED YOUNG MAN.";
  const std::vector<Segment> segments = text.segments(content, {.max_tokens = 8});
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_EQ(segments[0].text(), "HE WAS NOT AN ILL-");
  EXPECT_EQ(segments[1].text(), "DISPOSED YOUNG MAN.");
  Ids joined = segments[0].ids;
  joined.insert(joined.end(), segments[1].ids.begin(), segments[1].ids.end());
  EXPECT_EQ(joined, text.encode(content));
}

TEST(TextFrontend, CountsUnknownPieces) {
  const TextFrontend text = without_normalizer();
  EXPECT_DOUBLE_EQ(text.unknown_share({2, 5, 2, 6}), 0.5);
  EXPECT_DOUBLE_EQ(text.unknown_share({}), 0);
}

TEST(Pretokenize, KeepsCjkApartAndTheRestInCapitals) {
  EXPECT_EQ(pretokenize("  你好世界是 hello world 的中文 "), "你 好 世 界 是 HELLO WORLD 的 中 文");
  EXPECT_EQ(pretokenize("straße\u3000ﬁ"), "STRASSE FI");  // U+3000 is a character of its own
  EXPECT_EQ(pretokenize("日本語テキスト 한국어"), "日 本 語 テ キ ス ト 한 국 어");
  EXPECT_EQ(pretokenize("a𠀀b ＡＢｱ"), "A 𠀀 B ＡＢ ｱ");
  EXPECT_EQ(pretokenize(""), "");
}

TEST(SplitSegments, RefusesALimitBelowOne) {
  EXPECT_THROW(split_segments({"A"}, {.max_tokens = 0}), UsageError);
  EXPECT_EQ(split_segments({"A", "B"}, {.max_tokens = 1}), (std::vector<Pieces>{{"A"}, {"B"}}));
  EXPECT_TRUE(split_segments({}, {}).empty());
}

TEST(TextFrontend, NamesWhatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { TextFrontend{folder.path()}; }),
              testing::HasSubstr("bpe.model"));
  folder.write("bpe.model", "no model");
  EXPECT_THAT(message_of<DataError>([&] { TextFrontend{folder.path()}; }),
              testing::HasSubstr("not a SentencePiece model"));
  TextOptions options;
  options.grammars = folder / "absent";
  EXPECT_THAT(message_of<DataError>([&] { TextFrontend(kCheckpoint, options); }),
              testing::AllOf(testing::HasSubstr("text grammar"), testing::HasSubstr("absent")));
  EXPECT_THROW(without_normalizer().encode("a\xff"), DataError);
}

TEST(TextFrontend, TakesTheGlossaryOfTheCheckpointUnlessTold) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(kCheckpoint / "bpe.model", folder / "bpe.model");
  folder.write("glossary.yaml", "HTML: H T M L\n");
  TextOptions options;
  const std::string text = "Some HTML here";
  // Plain text reads the same with grammars and without.
  EXPECT_EQ(TextFrontend(folder.path(), options).normalize(text), "Some H T M L here");
  options.glossary = false;
  EXPECT_EQ(TextFrontend(folder.path(), options).normalize(text), text);
}

}  // namespace
}  // namespace ttsft::indextts2::test
