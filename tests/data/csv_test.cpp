#include "ttsft/data/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Csv, WhatIsWrittenIsReadAgain) {
  const std::vector<std::string> cells = {"a", "", "x, y", "say \"hi\"", " edges ", "two\nlines"};
  EXPECT_EQ(csv_record(cells), "a,,\"x, y\",\"say \"\"hi\"\"\",\" edges \",\"two\nlines\"");
  const auto read = csv_cells(csv_record(cells));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, cells);
  EXPECT_FALSE(csv_cells("a,\"open"));
}

TEST(Csv, ATableHasItsColumnsByName) {
  const TemporaryFolder folder;
  const CsvTable table =
      read_csv(folder.write("t.csv",
                            "\xef\xbb\xbf"
                            "file,text\r\na.wav,\"one,\ntwo\"\r\nb.wav,three\r\n"));
  EXPECT_THAT(table.columns, ElementsAre("file", "text"));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_THAT(table.rows[0], ElementsAre("a.wav", "one,\ntwo"));
  EXPECT_EQ(table.column("text"), 1u);
  EXPECT_THROW(table.column("speaker"), DataError);
}

TEST(Csv, ADamagedTableNamesTheLine) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& text) -> std::string {
    try {
      read_csv(folder.write("t.csv", text));
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of("file,text\na.wav,x,y\n"), HasSubstr("t.csv line 2"));
  EXPECT_THAT(error_of("file,text\na.wav,\"x\n"), HasSubstr("a quote is not closed"));
}

}  // namespace
}  // namespace ttsft
