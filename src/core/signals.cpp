#include "ttsft/core/signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

std::atomic<int> requested{0};
std::atomic<bool> insisted{false};  // a SIGINT or SIGTERM has come
std::atomic<bool> on_terminal{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not take a lock");

// Only async-signal-safe calls in here.
void handle(int signal) {
  const bool insists = signal == SIGINT || signal == SIGTERM;
  if (insists && insisted.exchange(true)) _exit(128 + signal);
  int none = 0;
  if (!requested.compare_exchange_strong(none, signal)) return;
  constexpr char kNote[] = "\nstopping after this step and saving; once more leaves at once\n";
  if (on_terminal && write(STDERR_FILENO, kNote, sizeof(kNote) - 1) < 0) return;
}

}  // namespace

void install_signal_handlers() {
  on_terminal = isatty(STDERR_FILENO) != 0;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;  // a read or write in progress goes on; loops look at the flag
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction earlier {};
    // nohup lets a program outlive its session by ignoring the signal: that stays.
    if (signal == SIGHUP && sigaction(signal, nullptr, &earlier) == 0 &&
        earlier.sa_handler == SIG_IGN) {
      continue;
    }
    if (sigaction(signal, &action, nullptr) != 0) {
      throw RunError("cannot install a signal handler", std::strerror(errno));
    }
  }
}

int stop_signal() {
  return requested.load(std::memory_order_relaxed);
}

void clear_stop_signal() {
  requested = 0;
  insisted = false;
}

}  // namespace ttsft
