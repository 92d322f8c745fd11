// Files and folders that exist whole or not at all under their final name.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace ttsft {

// Written beside the target under a temporary name; commit() flushes to disk and renames; otherwise
// removed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  std::ofstream& stream() { return stream_; }
  void commit();  // throws RunError (disk full, no permission) and leaves the target as it was

 private:
  std::filesystem::path target_, temporary_;
  std::ofstream stream_;
  bool committed_ = false;
};

// The same for a folder: fill path(), then commit() renames it to the target, replacing an older
// one.
class AtomicFolder {
 public:
  explicit AtomicFolder(std::filesystem::path target);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path target_, temporary_;
  bool committed_ = false;
};

void write_text_atomic(const std::filesystem::path& file, std::string_view text);
std::string read_text(
    const std::filesystem::path& file);  // throws DataError when it cannot be read

// Hard link where the file system allows it, else a copy.
void link_or_copy(const std::filesystem::path& from, const std::filesystem::path& to);

// Exclusive lock on a folder for the life of the object (flock on <folder>/.lock); RunError when
// another holds it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace ttsft
