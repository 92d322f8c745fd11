#include "ttsft/data/prepared_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Rows of the lines of a text.
PreparedRows rows_of(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const std::string text = read_text(path);
  PreparedRows rows;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    const std::string id = "clip" + std::to_string(rows.size());
    rows.add({id, "key", 1.5, rows.empty() ? R"({"rate":8000})" : "", file, begin, end - begin});
    begin = end + 1;
  }
  return rows;
}

TEST(PreparedRows, AreParsedWhenTheyAreAskedFor) {
  const TemporaryFolder folder;
  const PreparedRows rows = rows_of(folder.write("rows", "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n"));
  ASSERT_EQ(rows.size(), 3u);
  int64_t n = 0;
  for (const PreparedRow& row : rows) {
    EXPECT_EQ(row.id, "clip" + std::to_string(n));
    EXPECT_EQ(row.row["n"], n++);
  }
  EXPECT_EQ(rows[0].notes["rate"], 8000);
  EXPECT_TRUE(rows.at(1).notes.is_null());
  EXPECT_THROW(rows.at(3), std::out_of_range);
  EXPECT_EQ(rows.entries()[2].text(), "{\"n\":2}") << "nothing else of a row is in memory";
  EXPECT_TRUE(PreparedRows().empty());
}

TEST(PreparedRows, OutliveAFileThatIsRenewed) {
  const TemporaryFolder folder;
  const PreparedRows rows = rows_of(folder.write("rows", "{\"n\":7}\n"));
  write_text_atomic(folder / "rows", "{}");
  EXPECT_EQ(rows[0].row["n"], 7);
}

TEST(PreparedRows, AnUnreadableRowIsNamed) {
  const TemporaryFolder folder;
  const PreparedRows rows = rows_of(folder.write("rows", "{}\n{\"n\":\n"));
  EXPECT_THAT(message_of<DataError>([&] { rows[1]; }),
              AllOf(HasSubstr("'clip1'"), HasSubstr("rows"), HasSubstr("run prep again")));
}

}  // namespace
}  // namespace ttsft
