#include "ttsft/io/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("f", "abc"));
  ASSERT_EQ(file.bytes().size(), 3u);
  EXPECT_EQ(static_cast<char>(file.bytes()[2]), 'c');
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
  const TemporaryFolder folder;
  EXPECT_TRUE(MappedFile(folder.write("f", "")).bytes().empty());
}

TEST(MappedFile, SaysWhatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { MappedFile file(folder / "absent"); }),
              HasSubstr("absent"));
  EXPECT_THAT(message_of<DataError>([&] { MappedFile file(folder.path()); }),
              HasSubstr("not a file"));
}

}  // namespace
}  // namespace ttsft
