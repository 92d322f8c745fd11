#include "ttsft/io/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <string>
#include <system_error>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/process.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = ".lock";
constexpr std::string_view kExclusiveFile = ".lock-exclusive-", kSharedFile = ".lock-shared-";

[[noreturn]] void fail(const std::string& what, const fs::path& where, int error) {
  throw RunError(what + " (" + std::generic_category().message(error) + ")", where.string());
}

[[noreturn]] void refuse(const fs::path& folder,
                         const std::string& remedy = "wait for it, or choose another folder") {
  throw RunError("the folder is in use by another ttsft", folder.string(), remedy);
}

bool knows_no_flock(int error) {
  return error == ENOLCK || error == EOPNOTSUPP || error == ENOTSUP || error == ENOSYS;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder, Mode mode, Flock flock) {
  if (flock == nullptr) flock = ::flock;
  const bool shared = mode == Mode::kShared;
  std::error_code error;
  if (!shared) {
    fs::create_directories(folder, error);
    if (error) fail("cannot create the folder", folder, error.value());
  }
  const fs::path file = folder / kName;
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0 && shared) descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    if (shared) return;
    fail("cannot lock the folder", folder, errno);
  }
  if (flock(descriptor_, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(descriptor_);
  descriptor_ = -1;
  if (reason == EWOULDBLOCK) refuse(folder);
  if (!knows_no_flock(reason)) fail("cannot lock the folder", folder, reason);
  static std::atomic<bool> said{false};
  if (!said.exchange(true)) {
    log_warning("the file system of ", folder.string(), " does not lock files (",
                std::generic_category().message(reason),
                "): a file with the process id stands in, which does not see other machines die");
  }
  take_by_file(folder, mode);
}

// One's own file first, then a look at the others': of two that come at once none can miss the
// other.
void FolderLock::take_by_file(const fs::path& folder, Mode mode) {
  static std::atomic<int> counter = 0;
  const bool shared = mode == Mode::kShared;
  const fs::path own = folder / (std::string(shared ? kSharedFile : kExclusiveFile) +
                                 process_identity() + "-" + std::to_string(counter++));
  if (!std::ofstream(own)) {
    if (shared) return;
    fail("cannot lock the folder", own, errno);
  }
  file_ = own;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool exclusive = name.starts_with(kExclusiveFile);
    if (entry.path() == own || !(exclusive || (!shared && name.starts_with(kSharedFile)))) continue;
    const auto owner = name.substr((exclusive ? kExclusiveFile : kSharedFile).size());
    std::error_code ignored;
    if (state_of_process(owner) == ProcessState::kGone) {
      fs::remove(entry.path(), ignored);
      continue;
    }
    fs::remove(own, ignored);
    refuse(folder, "wait for it; if no ttsft uses the folder, remove " + entry.path().string());
  }
}

FolderLock::~FolderLock() {
  // .lock stays: removing it would race with the next owner.
  if (descriptor_ >= 0) ::close(descriptor_);
  std::error_code ignored;
  if (!file_.empty()) fs::remove(file_, ignored);
}

}  // namespace ttsft
