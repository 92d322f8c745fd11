#include "ttsft/nn/device_memory.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace ttsft {
namespace {

[[noreturn]] void run_out() {
  throw c10::OutOfMemoryError({__func__, __FILE__, 1}, "CUDA out of memory");
}

// A device that takes up to `room` rows at a time.
struct Device {
  void run(std::vector<int>& rows) {
    batches.run<int>(
        rows, [](std::span<const int> piece) { return std::ssize(piece); },
        [&](std::span<int> piece) {
          ++tries;
          if (std::ssize(piece) > room) run_out();
          done.insert(done.end(), piece.begin(), piece.end());
          largest = std::max(largest, std::ssize(piece));
        });
  }
  std::ptrdiff_t room = 0, largest = 0;
  int tries = 0;
  std::vector<int> done;
  FittingBatches batches{torch::kCPU};
};

std::vector<int> numbers(int count) {
  std::vector<int> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(FittingBatches, NothingIsNoWork) {
  Device device{.room = 8};
  std::vector<int> none;
  device.run(none);
  EXPECT_EQ(device.tries, 0);
}

TEST(FittingBatches, WhatFitsIsOnePiece) {
  Device device{.room = 8};
  std::vector<int> rows = numbers(8);
  device.run(rows);
  EXPECT_EQ(device.tries, 1);
  EXPECT_EQ(device.done, rows);
}

TEST(FittingBatches, HalvesUntilItFitsAndKeepsTheOrder) {
  Device device{.room = 3};
  std::vector<int> rows = numbers(11);
  device.run(rows);
  EXPECT_EQ(device.done, rows);
  EXPECT_LE(device.largest, 3);
  // What did not fit is not tried again.
  const int before = device.tries;
  device.done.clear();
  device.run(rows);
  EXPECT_EQ(device.done, rows);
  EXPECT_EQ(device.tries - before, std::ssize(rows) / 3 + 1);
}

TEST(FittingBatches, OneThatDoesNotFitAloneThrowsWhatItThrew) {
  Device device{.room = 0};
  std::vector<int> rows = numbers(4);
  EXPECT_THROW(device.run(rows), c10::OutOfMemoryError);
  EXPECT_EQ(device.tries, 3);  // 4, 2, 1
}

TEST(FittingBatches, ACardThatOthersFillLaterIsTriedSmaller) {
  Device device{.room = 8};
  std::vector<int> rows = numbers(8);
  device.run(rows);
  device.room = 2;
  device.run(rows);
  EXPECT_EQ(device.done.size(), 16u);
  EXPECT_LE(device.batches.limit(), 3);
}

TEST(FittingBatches, OtherErrorsAreNotItsBusiness) {
  FittingBatches batches(torch::kCPU);
  std::vector<int> rows = numbers(4);
  int tries = 0;
  EXPECT_THROW(batches.run<int>(
                   rows, [](std::span<const int> piece) { return std::ssize(piece); },
                   [&](std::span<int>) {
                     ++tries;
                     throw std::runtime_error("no");
                   }),
               std::runtime_error);
  EXPECT_EQ(tries, 1);
}

TEST(OutOfMemory, IsKnownByTypeOrByTheCpusWords) {
  const auto known = [](const auto& throws) {
    try {
      throws();
    } catch (const std::exception& error) {
      return is_out_of_memory(error);
    }
    return false;
  };
  EXPECT_TRUE(known(run_out));
  EXPECT_TRUE(known([] { throw std::bad_alloc(); }));
  EXPECT_TRUE(known([] { torch::empty({int64_t{1} << 60}); }));
  EXPECT_FALSE(known([] { torch::zeros({2}).view({3}); }));
}

TEST(DeviceMemory, TheCpusIsTheMachines) {
  const int64_t free = free_memory(torch::kCPU), total = total_memory(torch::kCPU);
  EXPECT_GT(free, 0);
  EXPECT_GT(total, free);
  EXPECT_GT(peak_memory(torch::kCPU), int64_t{1} << 20);
  release_cached_memory(torch::kCPU);
}

}  // namespace
}  // namespace ttsft
