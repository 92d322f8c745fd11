#include "ttsft/core/threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace ttsft {
namespace {

TEST(CpuThreads, FollowsTheAffinityMask) {
  std::thread([] {  // the mask of this thread only
    cpu_set_t all, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    EXPECT_EQ(cpu_threads(), CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &all)) continue;
      CPU_SET(cpu, &one);
      break;
    }
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(cpu_threads(), 1);
  })
      .join();
}

TEST(ParallelFor, VisitsEachIndexOnce) {
  for (const int threads : {0, 1, 2, 7, 200}) {
    std::vector<std::atomic<int>> seen(100);
    parallel_for(100, threads, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
    for (const auto& count : seen) EXPECT_EQ(count, 1) << threads << " threads";
  }
}

TEST(ParallelFor, NothingToDo) {
  parallel_for(0, 4, [](int64_t) { FAIL(); });
}

TEST(ParallelFor, RunsOnSeveralThreads) {
  // Each of two calls waits for the other one, which one thread alone could not do.
  std::atomic<int> inside{0};
  parallel_for(2, 2, [&](int64_t) {
    ++inside;
    while (inside < 2) std::this_thread::yield();
  });
  EXPECT_EQ(inside, 2);
}

TEST(ParallelFor, RethrowsAndStops) {
  for (const int threads : {1, 4}) {
    std::atomic<int> calls{0};
    const auto fail = [&](int64_t i) {
      ++calls;
      if (i == 3) throw std::runtime_error("third");
    };
    EXPECT_THROW(parallel_for(1'000'000, threads, fail), std::runtime_error);
    EXPECT_LT(calls, 1'000'000) << threads << " threads";
  }
}

TEST(Worker, DoesOneThingAfterTheOtherOnOneThread) {
  Worker worker;
  std::vector<std::future<std::thread::id>> threads;
  std::vector<int> order;
  for (int i = 0; i < 20; ++i) {
    threads.push_back(worker.submit([&order, i] {
      order.push_back(i);
      return std::this_thread::get_id();
    }));
  }
  const std::thread::id first = threads.front().get();
  EXPECT_NE(first, std::this_thread::get_id());
  for (size_t i = 1; i < threads.size(); ++i) EXPECT_EQ(threads[i].get(), first);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(Worker, WhatATaskThrowsComesWithItsResult) {
  Worker worker;
  auto failed = worker.submit([]() -> int { throw std::runtime_error("third"); });
  EXPECT_THROW(failed.get(), std::runtime_error);
  EXPECT_EQ(worker.submit([] { return 4; }).get(), 4);
}

TEST(Worker, WhatWasSubmittedIsDoneBeforeItGoes) {
  std::future<int> result;
  {
    Worker worker;
    result = worker.submit([] { return 7; });
  }
  EXPECT_EQ(result.get(), 7);
}

}  // namespace
}  // namespace ttsft
