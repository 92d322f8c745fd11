// A folder that one process writes, or several read while none may write.
#pragma once

#include <filesystem>

namespace ttsft {

// Held for the life of the object: flock on <folder>/.lock, where the kernel lets go when a process
// dies. A file system that does not know flock (Lustre without the option, some network mounts) is
// named once in a warning, and a file <folder>/.lock-... with the owner's process id is used.
class FolderLock {
 public:
  enum class Mode {
    kExclusive,  // no other lock; creates the folder
    kShared,     // others may read too. A folder that cannot be written to is not locked.
  };
  using Flock = int (*)(int descriptor, int operation);

  // RunError: another one holds a lock that excludes this one. `flock` is replaced by tests.
  explicit FolderLock(const std::filesystem::path& folder, Mode mode = Mode::kExclusive,
                      Flock flock = nullptr);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  void take_by_file(const std::filesystem::path& folder, Mode mode);

  int descriptor_ = -1;
  std::filesystem::path file_;  // where flock is not known
};

}  // namespace ttsft
