#include "ttsft/io/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <sstream>
#include <system_error>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what, const fs::path& where, int error) {
  throw RunError(what + " (" + std::generic_category().message(error) + ")", where.string());
}

fs::path parent_of(const fs::path& target) {
  return target.has_parent_path() ? target.parent_path() : fs::path(".");
}

fs::path without_trailing_slash(fs::path path) {
  return path.has_filename() ? path : path.parent_path();
}

void create_parent(const fs::path& target) {
  std::error_code error;
  fs::create_directories(parent_of(target), error);
  if (error) fail("cannot create the folder", parent_of(target), error.value());
}

// ".<name>.partial-<process>-<number>": hidden, beside the target, and its owner can be asked for.
std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().string() + ".partial-";
}

fs::path temporary_name(const fs::path& target) {
  static std::atomic<int> counter = 0;
  return parent_of(target) /
         (temporary_prefix(target) + std::to_string(::getpid()) + "-" + std::to_string(counter++));
}

// Removes what a killed process left of this folder: checkpoints are large.
void remove_abandoned(const fs::path& target) {
  const std::string prefix = temporary_prefix(target);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent_of(target), ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), owner);
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), ignored);
  }
}

// To the disk, so that a rename never outlives the data that it names.
void flush_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot open what was just written", path, errno);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some network file systems do not know fsync for folders.
  if (result != 0 && error != EINVAL && error != ENOTSUP) fail("cannot write to disk", path, error);
}

void flush_folder_to_disk(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink()) continue;
    if (entry.is_regular_file() || entry.is_directory()) flush_to_disk(entry.path());
  }
  flush_to_disk(folder);
}

}  // namespace

AtomicFile::AtomicFile(fs::path target) : target_(std::move(target)) {
  if (!target_.has_filename()) throw RunError("not a file name", target_.string());
  create_parent(target_);
  temporary_ = temporary_name(target_);
  stream_.open(temporary_, std::ios::binary | std::ios::trunc);
  if (!stream_) fail("cannot write here", target_, errno);
}

AtomicFile::~AtomicFile() {
  if (committed_) return;
  stream_.close();
  std::error_code ignored;
  fs::remove(temporary_, ignored);
}

void AtomicFile::commit() {
  errno = 0;
  stream_.close();
  if (!stream_) fail("cannot write the file", target_, errno != 0 ? errno : EIO);
  flush_to_disk(temporary_);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail("cannot put the file in its place", target_, errno);
  }
  committed_ = true;
  flush_to_disk(parent_of(target_));
}

AtomicFolder::AtomicFolder(fs::path target) : target_(without_trailing_slash(std::move(target))) {
  if (!target_.has_filename()) throw RunError("not a folder name", target_.string());
  create_parent(target_);
  remove_abandoned(target_);
  temporary_ = temporary_name(target_);
  std::error_code error;
  fs::create_directory(temporary_, error);
  if (error) fail("cannot create a folder here", target_, error.value());
}

AtomicFolder::~AtomicFolder() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  if (fs::exists(target_) && !fs::is_directory(target_)) {
    throw RunError("a file is in the way of the folder", target_.string(), "move it away");
  }
  flush_folder_to_disk(temporary_);
  const auto rename_or_fail = [this](const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      fail("cannot put the folder in its place", target_, errno);
    }
  };

  std::error_code ignored;
  if (!fs::exists(target_)) {
    rename_or_fail(temporary_, target_);
  } else if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(),
                         RENAME_EXCHANGE) == 0) {
    fs::remove_all(temporary_, ignored);  // the older folder, after the swap
  } else {
    // A file system that cannot swap: for a moment the older folder is under the other name only.
    const fs::path older = temporary_name(target_);
    rename_or_fail(target_, older);
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      const int error = errno;
      fs::rename(older, target_, ignored);
      fail("cannot put the folder in its place", target_, error);
    }
    fs::remove_all(older, ignored);
  }
  committed_ = true;
  flush_to_disk(parent_of(target_));
}

void write_text_atomic(const fs::path& file, std::string_view text) {
  AtomicFile out(file);
  out.stream().write(text.data(), static_cast<std::streamsize>(text.size()));
  out.commit();
}

std::string read_text(const fs::path& file) {
  // A folder opens as a stream and then reads as empty.
  if (fs::is_directory(file)) throw DataError("a folder, not a file", file.string());
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  // Inserting an empty buffer sets failbit on `text`, so only the source says whether reading
  // worked.
  if (stream) text << stream.rdbuf();
  if (!stream) {
    throw DataError(
        "cannot read the file (" + std::generic_category().message(errno != 0 ? errno : EIO) + ")",
        file.string());
  }
  return std::move(text).str();
}

void link_or_copy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  // A hard link to a symbolic link (as in a download cache) would keep its relative target.
  const fs::path source = fs::canonical(from, error);
  if (error) fail("cannot read the file", from, error.value());
  create_parent(to);
  if (fs::exists(to) && fs::equivalent(source, to)) return;
  fs::remove(to, error);
  fs::create_hard_link(source, to, error);
  if (!error) return;
  fs::copy_file(source, to, fs::copy_options::overwrite_existing, error);
  if (error) fail("cannot copy " + from.string(), to, error.value());
}

FolderLock::FolderLock(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("cannot create the folder", folder, error.value());
  const fs::path file = folder / ".lock";
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot lock the folder", folder, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(descriptor_);
  if (reason != EWOULDBLOCK) fail("cannot lock the folder", folder, reason);
  throw RunError("the folder is in use by another ttsft", folder.string(),
                 "wait for it, or choose another folder");
}

FolderLock::~FolderLock() {
  ::close(descriptor_);  // the file stays: removing it would race with the next owner
}

}  // namespace ttsft
