// Files and folders that exist whole or not at all under their final name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "ttsft/io/durability.h"

namespace ttsft {

// Written beside the target under a temporary name; commit() flushes to disk (unless told not to)
// and renames; otherwise removed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target, Durability durability = Durability::kDisk);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  std::ofstream& stream() { return stream_; }
  void commit();  // throws RunError (disk full, no permission) and leaves the target as it was

 private:
  std::filesystem::path target_, temporary_;
  std::ofstream stream_;
  Durability durability_;
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

// A folder of a name of its own in the system's place for such, removed with all in it.
class ScratchFolder {
 public:
  ScratchFolder();  // RunError: it cannot be made
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Waits once until all that was written to the file system of this folder is on the disk.
void flush_file_system(const std::filesystem::path& folder);

// How often this process has waited for a disk so far. Many small files must not each cost a wait.
int64_t disk_waits();

// Takes a folder out of sight at once and then removes it: what a kill in between leaves is
// unfinished, and goes with the next remove_unfinished(). No error when there is no such folder.
std::error_code remove_folder(const std::filesystem::path& folder);

// Removes the unfinished files and folders that killed processes left directly in `folder`. What
// belongs to a process that may be alive stays: one of this machine that runs, or one of another
// machine, container or boot, which cannot be asked, that wrote there within a day.
void remove_unfinished(const std::filesystem::path& folder);

void write_text_atomic(const std::filesystem::path& file, std::string_view text);
std::string read_text(
    const std::filesystem::path& file);  // throws DataError when it cannot be read

// Hard link where the file system allows it, else a copy.
void link_or_copy(const std::filesystem::path& from, const std::filesystem::path& to);

// The folder itself, or the nearest above it that exists.
std::filesystem::path nearest_existing(std::filesystem::path folder);

// Whether link_or_copy() can link between two places, of which either may be still to be made.
bool one_file_system(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace ttsft
