#include "ttsft/core/process.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "ttsft/core/hash.h"

namespace ttsft {
namespace {

// The boot id tells machines and boots apart, the namespace containers on one machine; the host
// name stands in where /proc does not say.
std::string find_place() {
  std::string boot;
  std::ifstream stream("/proc/sys/kernel/random/boot_id");
  std::getline(stream, boot);
  char host[256] = {};
  if (boot.empty() && ::gethostname(host, sizeof(host) - 1) == 0) boot = host;
  std::error_code ignored;
  const auto processes = std::filesystem::read_symlink("/proc/self/ns/pid", ignored);
  return "m" + Hasher().add(boot).add(processes.string()).hex().substr(0, 12);
}

const std::string& place() {
  static const std::string found = find_place();
  return found;
}

}  // namespace

std::string process_identity() {
  return place() + "-" + std::to_string(::getpid());
}

ProcessState state_of_process(std::string_view identity) {
  const std::string here = place() + "-";
  if (!identity.starts_with(here)) return ProcessState::kUnknown;
  identity.remove_prefix(here.size());
  pid_t id = 0;
  std::from_chars(identity.data(), identity.data() + identity.size(), id);
  if (id <= 0) return ProcessState::kUnknown;
  return ::kill(id, 0) != 0 && errno == ESRCH ? ProcessState::kGone : ProcessState::kRuns;
}

}  // namespace ttsft
