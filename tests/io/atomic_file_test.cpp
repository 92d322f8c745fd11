#include "ttsft/io/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Names in a folder, hidden ones too.
std::vector<std::string> names(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path().filename());
  std::sort(found.begin(), found.end());
  return found;
}

TEST(AtomicFile, IsSeenOnlyAfterCommit) {
  const TemporaryFolder folder;
  const fs::path target = folder / "new/a.txt";  // the parent is made
  AtomicFile file(target);
  file.stream() << "hello";
  EXPECT_FALSE(fs::exists(target));
  file.commit();
  EXPECT_EQ(read_text(target), "hello");
  EXPECT_EQ(names(target.parent_path()), std::vector<std::string>{"a.txt"});
}

TEST(AtomicFile, LeavesTheOldFileWhenNotCommitted) {
  const TemporaryFolder folder;
  const fs::path target = folder.write("a.txt", "old");
  {
    AtomicFile file(target);
    file.stream() << "new";
  }
  EXPECT_EQ(read_text(target), "old");
  EXPECT_EQ(names(folder.path()), std::vector<std::string>{"a.txt"});
  write_text_atomic(target, "new");
  EXPECT_EQ(read_text(target), "new");
}

TEST(AtomicFile, SaysWhereItCannotWrite) {
  const TemporaryFolder folder;
  folder.write("file", "");
  EXPECT_THAT(message_of<RunError>([&] { AtomicFile file(folder / "file/below"); }),
              HasSubstr("file"));
  fs::create_directory(folder / "taken");
  folder.write("taken/x", "");
  EXPECT_THAT(message_of<RunError>([&] { write_text_atomic(folder / "taken", "x"); }),
              HasSubstr("taken"));
  EXPECT_TRUE(fs::exists(folder / "taken/x"));
  EXPECT_EQ(names(folder.path()), (std::vector<std::string>{"file", "taken"}));
}

TEST(AtomicFile, AFullDiskIsAnErrorAndLeavesTheTarget) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const TemporaryFolder folder;
  const fs::path target = folder.write("a.txt", "old");
  AtomicFile file(target);
  file.stream().close();
  file.stream().open("/dev/full", std::ios::binary);
  file.stream() << "new";
  EXPECT_THAT(message_of<RunError>([&] { file.commit(); }), HasSubstr("No space left"));
  EXPECT_EQ(read_text(target), "old");
}

TEST(AtomicFolder, ReplacesAnOlderFolderWhole) {
  const TemporaryFolder folder;
  folder.write("step/old.txt", "old");
  AtomicFolder next(folder / "step");
  std::ofstream(next.path() / "new.txt") << "new";
  fs::create_directory(next.path() / "deep");
  EXPECT_TRUE(fs::exists(folder / "step/old.txt"));
  next.commit();
  EXPECT_EQ(names(folder / "step"), (std::vector<std::string>{"deep", "new.txt"}));
  EXPECT_EQ(names(folder.path()), std::vector<std::string>{"step"});
}

TEST(AtomicFolder, DisappearsWhenNotCommitted) {
  const TemporaryFolder folder;
  { AtomicFolder next(folder / "runs/step/"); }
  EXPECT_TRUE(names(folder / "runs").empty());
}

TEST(AtomicFolder, RefusesToReplaceAFile) {
  const TemporaryFolder folder;
  folder.write("step", "a file");
  AtomicFolder next(folder / "step");
  EXPECT_THAT(message_of<RunError>([&] { next.commit(); }), HasSubstr("in the way"));
  EXPECT_EQ(read_text(folder / "step"), "a file");
}

TEST(AtomicFolder, RemovesWhatAKilledProcessLeft) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);  // the process is gone
  const std::string left = ".step.partial-" + std::to_string(child) + "-0";
  const std::string in_use = ".step.partial-" + std::to_string(::getppid()) + "-0";
  folder.write(left + "/big", "x");
  folder.write(in_use + "/big", "x");
  AtomicFolder next(folder / "step");
  EXPECT_FALSE(fs::exists(folder / left));
  EXPECT_TRUE(fs::exists(folder / in_use));
}

TEST(ReadText, NamesWhatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { read_text(folder / "absent"); }), HasSubstr("absent"));
  EXPECT_THAT(message_of<DataError>([&] { read_text(folder.path()); }), HasSubstr("folder"));
  EXPECT_EQ(read_text(folder.write("empty", "")), "");
}

TEST(LinkOrCopy, LinksTheFileThatASymbolicLinkMeans) {
  const TemporaryFolder folder;
  folder.write("blobs/1", "weights");
  fs::create_directory(folder / "snapshot");
  fs::create_symlink("../blobs/1", folder / "snapshot/model");
  link_or_copy(folder / "snapshot/model", folder / "elsewhere/deep/model");
  EXPECT_EQ(read_text(folder / "elsewhere/deep/model"), "weights");
  EXPECT_FALSE(fs::is_symlink(folder / "elsewhere/deep/model"));
  EXPECT_EQ(fs::hard_link_count(folder / "blobs/1"), 2u);
}

TEST(LinkOrCopy, ReplacesTheTargetAndMindsItself) {
  const TemporaryFolder folder;
  const fs::path from = folder.write("a", "new"), to = folder.write("b", "old");
  link_or_copy(from, to);
  link_or_copy(from, to);
  link_or_copy(from, from);
  EXPECT_EQ(read_text(to), "new");
  EXPECT_EQ(read_text(from), "new");
  EXPECT_THROW(link_or_copy(folder / "absent", to), RunError);
}

TEST(FolderLock, HasOneOwner) {
  const TemporaryFolder folder;
  {
    const FolderLock lock(folder / "run");
    EXPECT_THAT(message_of<RunError>([&] { FolderLock second(folder / "run"); }),
                HasSubstr("in use"));
  }
  const FolderLock again(folder / "run");
  EXPECT_TRUE(fs::exists(folder / "run"));
}

}  // namespace
}  // namespace ttsft
