#include "ttsft/nn/accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

namespace ttsft {
namespace {

using ::testing::HasSubstr;

TEST(Accelerator, TheCpuRecordsNothingAndTheStepRunsPlainly) {
  Accelerator& cpu = accelerator(torch::kCPU);
  cpu.use(torch::kCPU);
  torch::Tensor sum = torch::zeros({2});
  const std::function<void()> step = [&sum] { sum += 1; };
  const CapturedStep captured = cpu.capture(step);
  EXPECT_EQ(captured.graph, nullptr);
  EXPECT_THAT(captured.why_plain, HasSubstr("CPU"));
  EXPECT_EQ(sum.sum().item<float>(), 0) << "recording runs nothing";
  for (int i = 0; i < 3; ++i) captured.graph ? captured.graph->replay() : step();
  EXPECT_EQ(sum.sum().item<float>(), 6);
  EXPECT_EQ(&accelerator(torch::kCPU), &cpu);
}

TEST(Accelerator, ALibraryThatIsNotThereIsNamed) {
  Accelerator* opened = nullptr;
  EXPECT_THAT(open_cuda_accelerator("libttsft_cuda_that_is_nowhere.so", opened),
              HasSubstr("libttsft_cuda_that_is_nowhere.so"));
  EXPECT_EQ(opened, nullptr);
}

TEST(Accelerator, AnotherLibraryIsRefused) {
  Accelerator* opened = nullptr;
  EXPECT_THAT(open_cuda_accelerator(TTSFT_FAKE_CUDA_DRIVER, opened), HasSubstr("is not ttsft's"));
  EXPECT_EQ(opened, nullptr);
}

// tests/nn/fake_accelerator.cpp: what opening finds set, and a graph behind the interface.
TEST(Accelerator, IsTakenFromALibrary) {
  Accelerator* opened = nullptr;
  ASSERT_EQ(open_cuda_accelerator(TTSFT_FAKE_ACCELERATOR, opened), "");
  ASSERT_NE(opened, nullptr);
  int steps = 0;
  const CapturedStep captured = opened->capture([&steps] { ++steps; });
  ASSERT_NE(captured.graph, nullptr);
  captured.graph->replay();
  captured.graph->replay();
  EXPECT_EQ(steps, 2);
}

TEST(Accelerator, OfADeviceThatWasNotOpenedIsAMistake) {
  EXPECT_THROW(accelerator(torch::kMeta), std::logic_error);
}

// LibTorch reads it when its library is opened, so it must be there before.
class Allocator : public ::testing::Test {
 protected:
  Allocator() { clear(); }
  ~Allocator() override { clear(); }
  static void clear() {
    unsetenv("PYTORCH_ALLOC_CONF");
    unsetenv("PYTORCH_CUDA_ALLOC_CONF");
  }
  // As the library finds it.
  static std::string settings() {
    Accelerator* opened = nullptr;
    EXPECT_EQ(open_cuda_accelerator(TTSFT_FAKE_ACCELERATOR, opened), "");
    return opened->capture(nullptr).why_plain;
  }
};

TEST_F(Allocator, SegmentsGrow) {
  EXPECT_EQ(settings(), "expandable_segments:True");
}

TEST_F(Allocator, WhatTheUserSaysStays) {
  setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64", 1);
  EXPECT_EQ(settings(), "max_split_size_mb:64");
  clear();
  setenv("PYTORCH_CUDA_ALLOC_CONF", "garbage_collection_threshold:0.8", 1);
  EXPECT_EQ(settings(), "") << "the older name counts";
}

}  // namespace
}  // namespace ttsft
