#include "ttsft/io/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/core/process.h"

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

// Where fsync would be counted with strace.
int64_t waits_of(const std::function<void()>& work) {
  const int64_t before = disk_waits();
  work();
  return disk_waits() - before;
}

TEST(AtomicFile, SmallFilesUnderAnIndexWaitForTheDiskOnce) {
  const TemporaryFolder folder;
  const auto write = [&](Durability durability) {
    for (int i = 0; i < 50; ++i) {
      AtomicFile file(folder / ("clips/" + std::to_string(i)), durability);
      file.stream() << i;
      file.commit();
    }
  };
  EXPECT_EQ(waits_of([&] { write(Durability::kDisk); }), 100) << "file and folder";
  EXPECT_EQ(waits_of([&] { write(Durability::kRename); }), 0);
  EXPECT_EQ(waits_of([&] { flush_file_system(folder.path()); }), 1);
  EXPECT_EQ(read_text(folder / "clips/49"), "49");
  EXPECT_EQ(names(folder / "clips").size(), 50u) << "nothing unfinished is left";
  EXPECT_THAT(message_of<RunError>([&] { flush_file_system(folder / "absent"); }),
              HasSubstr("absent"));
}

std::string mark(pid_t process, int number = 0) {
  const std::string own = process_identity();
  return ".partial-" + own.substr(0, own.rfind('-') + 1) + std::to_string(process) + "-" +
         std::to_string(number);
}

pid_t ended_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

TEST(RemoveUnfinished, TakesWhatKilledProcessesLeft) {
  const TemporaryFolder folder;
  const std::string gone = mark(ended_process());
  folder.write(".a.safetensors" + gone, "half");
  folder.write(".step-1" + gone + "/big", "half");
  folder.write(".b" + mark(::getppid()), "another is writing this");
  folder.write(".hidden", "no leftover");
  folder.write("b.partial-list", "no leftover");
  folder.write("deeper/.c" + gone, "not directly here");
  remove_unfinished(folder.path());
  EXPECT_EQ(names(folder.path()), (std::vector<std::string>{".b" + mark(::getppid()), ".hidden",
                                                            "b.partial-list", "deeper"}));
  EXPECT_EQ(names(folder / "deeper").size(), 1u);
  remove_unfinished(folder / "absent");
}

// A container on the same volume: its process ids mean nothing here, so only age decides.
TEST(RemoveUnfinished, LeavesTheWorkOfOtherMachinesForADay) {
  const TemporaryFolder folder;
  const std::string fresh = ".a.partial-m0123456789ab-7-0", old = ".b.partial-m0123456789ab-7-1";
  folder.write(fresh, "x");
  const fs::path file = folder.write(old, "x");
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(25));
  remove_unfinished(folder.path());
  EXPECT_EQ(names(folder.path()), std::vector<std::string>{fresh});
}

TEST(AtomicFolder, RemovesWhatAKilledProcessLeftOfIt) {
  const TemporaryFolder folder;
  const pid_t process = ended_process();
  folder.write(".step" + mark(process) + "/big", "x");
  folder.write(".step" + mark(::getppid()) + "/big", "x");
  folder.write(".other" + mark(process) + "/big", "x");
  AtomicFolder next(folder / "step");
  EXPECT_FALSE(fs::exists(folder / (".step" + mark(process))));
  EXPECT_TRUE(fs::exists(folder / (".step" + mark(::getppid()))));
  EXPECT_TRUE(fs::exists(folder / (".other" + mark(process)))) << "only its own";
}

TEST(RemoveFolder, IsGoneAtOnce) {
  const TemporaryFolder folder;
  folder.write("step/deep/file", "x");
  EXPECT_FALSE(remove_folder(folder / "step/"));
  EXPECT_TRUE(names(folder.path()).empty());
  EXPECT_FALSE(remove_folder(folder / "step")) << "no folder, no error";
}

TEST(OneFileSystem, LooksAtWhatExists) {
  const TemporaryFolder folder;
  EXPECT_EQ(nearest_existing(folder / "a/b/c"), folder.path());
  EXPECT_TRUE(one_file_system(folder.path(), folder / "not/yet/made"));
  EXPECT_FALSE(one_file_system(folder.path(), "/proc"));
}

}  // namespace
}  // namespace ttsft
