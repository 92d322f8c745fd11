#include "ttsft/io/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <sstream>
#include <system_error>
#include <vector>

#include "ttsft/core/error.h"
#include "ttsft/core/process.h"

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

constexpr std::string_view kMark = ".partial-";

// ".<name>.partial-<owner>-<number>": hidden, beside the target, and its owner can be asked for.
fs::path temporary_name(const fs::path& target) {
  static std::atomic<int> counter = 0;
  return parent_of(target) / ("." + target.filename().string() + std::string(kMark) +
                              process_identity() + "-" + std::to_string(counter++));
}

// Whether a name is that of something unfinished; `of`: only of this target.
bool is_unfinished(const fs::path& file, const std::string& of = {}) {
  const std::string name = file.filename().string();
  const size_t mark = name.rfind(kMark);
  return mark != name.npos && name.front() == '.' && (of.empty() || name.substr(1, mark - 1) == of);
}

bool is_abandoned(const fs::path& file) {
  const std::string name = file.filename().string();
  switch (state_of_process(name.substr(name.rfind(kMark) + kMark.size()))) {
    case ProcessState::kRuns:
      return false;
    case ProcessState::kGone:
      return true;
    case ProcessState::kUnknown:
      break;
  }
  std::error_code error;
  const auto written = fs::last_write_time(file, error);
  return !error && fs::file_time_type::clock::now() - written > std::chrono::hours(24);
}

void remove_abandoned(const fs::path& folder, const std::string& of = {}) {
  std::error_code ignored;
  std::vector<fs::path> abandoned;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (is_unfinished(entry.path(), of) && is_abandoned(entry.path()))
      abandoned.push_back(entry.path());
  }
  for (const fs::path& path : abandoned) fs::remove_all(path, ignored);
}

std::atomic<int64_t> waits{0};

// To the disk, so that a rename never outlives the data that it names.
void flush_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot open what was just written", path, errno);
  ++waits;
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

AtomicFile::AtomicFile(fs::path target, Durability durability)
    : target_(std::move(target)), durability_(durability) {
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
  const bool wait = durability_ == Durability::kDisk;
  if (wait) flush_to_disk(temporary_);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail("cannot put the file in its place", target_, errno);
  }
  committed_ = true;
  if (wait) flush_to_disk(parent_of(target_));
}

AtomicFolder::AtomicFolder(fs::path target) : target_(without_trailing_slash(std::move(target))) {
  if (!target_.has_filename()) throw RunError("not a folder name", target_.string());
  create_parent(target_);
  remove_abandoned(parent_of(target_), target_.filename().string());
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

void flush_file_system(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("cannot open the folder", folder, errno);
  ++waits;
  const int result = ::syncfs(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (result != 0) fail("cannot write to disk", folder, error);
}

int64_t disk_waits() {
  return waits;
}

std::error_code remove_folder(const fs::path& folder) {
  const fs::path target = without_trailing_slash(folder);
  const fs::path doomed = temporary_name(target);
  std::error_code error;
  fs::rename(target, doomed, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  if (!error) fs::remove_all(doomed, error);
  return error;
}

void remove_unfinished(const fs::path& folder) {
  remove_abandoned(folder);
}

ScratchFolder::ScratchFolder() {
  std::string name = (fs::temp_directory_path() / "ttsft-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw RunError("cannot make a folder for temporary files", name);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
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

fs::path nearest_existing(fs::path folder) {
  std::error_code error;
  folder = fs::absolute(folder);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

bool one_file_system(const fs::path& a, const fs::path& b) {
  struct stat first {
  }, second{};
  return ::stat(nearest_existing(a).c_str(), &first) == 0 &&
         ::stat(nearest_existing(b).c_str(), &second) == 0 && first.st_dev == second.st_dev;
}

}  // namespace ttsft
