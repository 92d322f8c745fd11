// Work on several CPU threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace ttsft {

int cpu_threads();  // cores this process may use

// Calls fn(i) for i in [0, n) on up to `threads` threads and waits; the first exception is
// rethrown.
void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& fn);

// One thread that lives as long as the object and does one thing after the other.
class Worker {
 public:
  Worker() : thread_([this](std::stop_token stop) { run(stop); }) {}

  // The result, or what fn threw, comes with the future. The next task waits for this one.
  template <class Fn>
  auto submit(Fn fn) -> std::future<decltype(fn())> {
    auto task = std::make_shared<std::packaged_task<decltype(fn())()>>(std::move(fn));
    auto result = task->get_future();
    {
      std::unique_lock lock(mutex_);
      free_.wait(lock, [this] { return !next_; });
      next_ = [task] { (*task)(); };
    }
    given_.notify_one();
    return result;
  }

 private:
  void run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any given_;
  std::condition_variable free_;
  std::function<void()> next_;
  std::jthread thread_;  // last: it ends before the rest goes
};

}  // namespace ttsft
