#include "ttsft/io/folder_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/core/process.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Mode = FolderLock::Mode;

std::string refusal(const fs::path& folder, Mode mode, FolderLock::Flock flock = nullptr) {
  return message_of<RunError>([&] { const FolderLock second(folder, mode, flock); });
}

TEST(FolderLock, HasOneOwner) {
  const TemporaryFolder folder;
  {
    const FolderLock lock(folder / "run");
    EXPECT_THAT(refusal(folder / "run", Mode::kExclusive), HasSubstr("in use"));
    EXPECT_THAT(refusal(folder / "run", Mode::kShared), HasSubstr("in use"));
  }
  const FolderLock again(folder / "run");
  EXPECT_TRUE(fs::exists(folder / "run"));
}

TEST(FolderLock, ReadersShareAndKeepWritersOut) {
  const TemporaryFolder folder;
  {
    const FolderLock one(folder.path(), Mode::kShared), two(folder.path(), Mode::kShared);
    EXPECT_THAT(refusal(folder.path(), Mode::kExclusive),
                AllOf(HasSubstr("in use by another ttsft"), HasSubstr("wait for it")));
  }
  const FolderLock writer(folder.path());
}

TEST(FolderLock, AFolderThatCannotBeWrittenToIsReadWithoutALock) {
  const TemporaryFolder folder;
  const FolderLock lock(folder / "absent", Mode::kShared);
  EXPECT_FALSE(fs::exists(folder / "absent"));
}

// Lustre without the option, some network mounts.
int no_flock(int, int) {
  errno = ENOLCK;
  return -1;
}
int unsupported(int, int) {
  errno = EOPNOTSUPP;
  return -1;
}

size_t lock_files(const fs::path& folder) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    count += entry.path().filename().string().starts_with(".lock-");
  return count;
}

TEST(FolderLock, WithoutFlockAFileWithTheProcessIdStandsIn) {
  for (const auto flock : {no_flock, unsupported}) {
    const TemporaryFolder folder;
    {
      const FolderLock lock(folder.path(), Mode::kExclusive, flock);
      EXPECT_EQ(lock_files(folder.path()), 1u);
      EXPECT_THAT(refusal(folder.path(), Mode::kExclusive, flock),
                  AllOf(HasSubstr("in use"), HasSubstr("remove " + folder.path().string())));
      EXPECT_THAT(refusal(folder.path(), Mode::kShared, flock), HasSubstr("in use"));
      EXPECT_EQ(lock_files(folder.path()), 1u) << "a refused one leaves nothing";
    }
    EXPECT_EQ(lock_files(folder.path()), 0u);
    const FolderLock one(folder.path(), Mode::kShared, flock);
    const FolderLock two(folder.path(), Mode::kShared, flock);
    EXPECT_THAT(refusal(folder.path(), Mode::kExclusive, flock), HasSubstr("in use"));
  }
}

TEST(FolderLock, TheFileOfADeadProcessDoesNotCount) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string own = process_identity();
  const std::string place = own.substr(0, own.rfind('-') + 1);
  folder.write(".lock-exclusive-" + place + std::to_string(child) + "-0", "");
  { const FolderLock lock(folder.path(), Mode::kExclusive, no_flock); }
  EXPECT_EQ(lock_files(folder.path()), 0u);
  // Of another machine nothing is known; the remedy names the file.
  folder.write(".lock-shared-m0123456789ab-1-0", "");
  EXPECT_THAT(refusal(folder.path(), Mode::kExclusive, no_flock),
              HasSubstr(".lock-shared-m0123456789ab-1-0"));
  const FolderLock reader(folder.path(), Mode::kShared, no_flock);
}

}  // namespace
}  // namespace ttsft
