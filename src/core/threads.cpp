#include "ttsft/core/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ttsft {

int cpu_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& fn) {
  if (threads <= 1 || n <= 1) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
  std::atomic<int64_t> next{0};
  std::exception_ptr first;
  std::mutex mutex;
  const auto work = [&] {
    for (int64_t i = next++; i < n; i = next++) {
      try {
        fn(i);
      } catch (...) {
        next = n;  // nobody starts another one
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    const auto others = std::min<int64_t>(threads, n) - 1;  // the caller works too
    workers.reserve(static_cast<size_t>(others));
    for (int64_t t = 0; t < others; ++t) workers.emplace_back(work);
    work();
  }
  if (first) std::rethrow_exception(first);
}

void Worker::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (given_.wait(lock, stop, [this] { return static_cast<bool>(next_); })) {
    const std::function<void()> task = std::exchange(next_, nullptr);
    lock.unlock();
    free_.notify_one();
    task();
    lock.lock();
  }
}

}  // namespace ttsft
