#include "ttsft/io/parquet.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

class Parquet : public testing::Test {
 protected:
  void SetUp() override {
    if (!parquet_available()) GTEST_SKIP() << "built without Arrow";
  }
  TemporaryFolder folder_;
};

TEST_F(Parquet, WhatIsWrittenIsRead) {
  const std::filesystem::path file = folder_ / "rows.parquet";
  const std::string bytes("RIFF\0\x01\xff", 7);
  std::vector<ParquetRow> rows;
  for (int64_t i = 0; i < 150; ++i)  // more than a batch
    rows.push_back({std::string("clip") + std::to_string(i), bytes, i, 0.5 * static_cast<double>(i),
                    std::vector<int64_t>{i, 6560}, std::vector<double>{0.25, -1e-9}});
  rows.push_back({std::string("empty"), std::string(), std::monostate{}, 1.0,
                  std::vector<int64_t>{}, std::monostate{}});
  {
    ParquetWriter writer(file, {{"utt", ParquetKind::kText},
                                {"audio_data", ParquetKind::kBytes},
                                {"number", ParquetKind::kInteger},
                                {"share", ParquetKind::kNumber},
                                {"speech_token", ParquetKind::kIntegers},
                                {"utt_embedding", ParquetKind::kNumbers}});
    for (const ParquetRow& row : rows) writer.add(row);
    EXPECT_FALSE(std::filesystem::exists(file)) << "half a file under its name";
    writer.finish();
  }
  ParquetReader reader(file);
  EXPECT_EQ(reader.columns(), (std::vector<std::string>{"utt", "audio_data", "number", "share",
                                                        "speech_token", "utt_embedding"}));
  EXPECT_EQ(reader.column("speech_token"), 4);
  EXPECT_EQ(reader.column("text"), -1);
  ParquetRow row;
  for (const ParquetRow& wanted : rows) {
    ASSERT_TRUE(reader.next(row));
    EXPECT_TRUE(row == wanted);
  }
  EXPECT_FALSE(reader.next(row));
}

// A shard that CosyVoice's own tools wrote.
TEST_F(Parquet, UpstreamsShard) {
  ParquetReader reader(std::filesystem::path(TTSFT_FIXTURES) /
                       "cosyvoice3/expected/prep/parquet/parquet_000000000.tar");
  ParquetRow row;
  int64_t rows = 0;
  for (; reader.next(row); ++rows) {
    const auto at = [&](const char* column) {
      return row.at(static_cast<size_t>(reader.column(column)));
    };
    EXPECT_EQ(std::get<std::vector<double>>(at("utt_embedding")).size(), 192u);
    EXPECT_GE(std::get<std::vector<int64_t>>(at("speech_token")).size(), 30u);
    EXPECT_EQ(std::get<std::string>(at("audio_data")).substr(0, 4), "RIFF");
    EXPECT_TRUE(std::get<std::string>(at("instruct")).ends_with("<|endofprompt|>"));
  }
  EXPECT_EQ(rows, 3);
}

TEST_F(Parquet, WhatIsNoneIsRefused) {
  EXPECT_THROW(ParquetReader(folder_ / "absent"), DataError);
  EXPECT_THROW(ParquetReader(folder_.write("text.parquet", "no parquet at all, but long enough")),
               DataError);
  EXPECT_THROW(ParquetReader(folder_.write("empty.parquet", "")), DataError);
  ParquetWriter writer(folder_ / "x", {{"number", ParquetKind::kInteger}});
  EXPECT_THROW(writer.add({std::string("text")}), std::logic_error);
  EXPECT_THROW(writer.add({}), std::logic_error);
}

TEST(ParquetWithoutArrow, SaysWhatToDo) {
  if (parquet_available()) GTEST_SKIP() << "built with Arrow";
  EXPECT_NE(message_of<UsageError>([] { ParquetReader("x.parquet"); }).find("tools/setup"),
            std::string::npos);
}

}  // namespace
}  // namespace ttsft
