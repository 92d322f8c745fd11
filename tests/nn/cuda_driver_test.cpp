#include "ttsft/nn/cuda_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using State = CudaDriver::State;

// tests/nn/fake_cuda_driver.cpp, as a library that answers what is set here.
class FakeDriver {
 public:
  FakeDriver(const char* init, const char* version, const char* devices) {
    setenv("FAKE_CUDA_INIT", init, 1);
    setenv("FAKE_CUDA_VERSION", version, 1);
    setenv("FAKE_CUDA_DEVICES", devices, 1);
  }
  ~FakeDriver() {
    for (const char* name : {"FAKE_CUDA_INIT", "FAKE_CUDA_VERSION", "FAKE_CUDA_DEVICES"})
      unsetenv(name);
  }
};

CudaDriver probe(const std::vector<std::string>& libraries) {
  return probe_driver(libraries);
}

TEST(CudaDriver, IsFoundInTheSecondPlaceToo) {  // as under WSL
  const FakeDriver fake("0", "12080", "2");
  const CudaDriver driver = probe({"libcuda_that_is_nowhere.so.1", TTSFT_FAKE_CUDA_DRIVER});
  EXPECT_EQ(driver.state, State::kReady);
  EXPECT_EQ(driver.version, 12080);
  EXPECT_EQ(driver.devices, 2);
}

TEST(CudaDriver, WithoutALibraryIsAbsentForTheLoadersReason) {
  const CudaDriver driver = probe({"libcuda_that_is_nowhere.so.1", "/nowhere/libcuda.so.1"});
  EXPECT_EQ(driver.state, State::kAbsent);
  EXPECT_THAT(driver.reason, HasSubstr("libcuda_that_is_nowhere.so.1"));
  EXPECT_EQ(driver.version, 0);
}

TEST(CudaDriver, ALibraryOfAnotherKindIsNone) {
  const CudaDriver driver = probe({"libc.so.6"});
  EXPECT_EQ(driver.state, State::kAbsent);
  EXPECT_THAT(driver.reason, HasSubstr("not a CUDA driver's"));
}

TEST(CudaDriver, TheToolkitsStubIsNone) {
  const FakeDriver fake("34", "13000", "1");
  const CudaDriver driver = probe({TTSFT_FAKE_CUDA_DRIVER});
  EXPECT_EQ(driver.state, State::kAbsent);
  EXPECT_THAT(driver.reason, HasSubstr("stub"));
}

TEST(CudaDriver, WithoutAGpuSaysSoAndKnowsItsVersion) {
  {
    const FakeDriver none("100", "12040", "0");
    const CudaDriver driver = probe({TTSFT_FAKE_CUDA_DRIVER});
    EXPECT_EQ(driver.state, State::kNoDevice);
    EXPECT_EQ(driver.version, 12040);
  }
  const FakeDriver hidden("0", "12040", "0");
  EXPECT_EQ(probe({TTSFT_FAKE_CUDA_DRIVER}).state, State::kNoDevice);
}

TEST(CudaDriver, WhatKeepsItFromStartingIsKept) {
  const FakeDriver fake("803", "12040", "1");
  const CudaDriver driver = probe({TTSFT_FAKE_CUDA_DRIVER});
  EXPECT_EQ(driver.state, State::kFailed);
  EXPECT_EQ(driver.devices, 0);
  EXPECT_THAT(driver.reason, HasSubstr("error 803"));
}

TEST(CudaDriver, IsAskedThroughTheTableAlone) {
  CudaDriverTable table;
  EXPECT_EQ(ask_driver(table).state, State::kAbsent);
  table.init = [](unsigned) { return 0; };
  table.driver_version = [](int*) { return 1; };
  table.device_count = [](int* count) { return *count = 4, 0; };
  const CudaDriver driver = ask_driver(table);
  EXPECT_EQ(driver.state, State::kReady);
  EXPECT_EQ(driver.version, 0) << "it did not say";
  EXPECT_EQ(driver.devices, 4);
}

TEST(CudaObstacle, NoneWhereTheDriverIsNewEnough) {
  const CudaDriver newest{State::kReady, 13000, 1, ""};
  EXPECT_THAT(cuda_obstacle(newest, 13000, true).what, IsEmpty());
  EXPECT_THAT(cuda_obstacle(newest, 12060, true).what, IsEmpty());
  // The same major version: a minor that is older runs it.
  EXPECT_THAT(cuda_obstacle({State::kReady, 12020, 1, ""}, 12060, true).what, IsEmpty());
  EXPECT_THAT(cuda_obstacle({State::kReady, 0, 1, ""}, 13000, true).what, IsEmpty());
}

TEST(CudaObstacle, AnOldDriverIsNamedWithBothVersionsAndWhatRunsOnIt) {
  const CudaObstacle old = cuda_obstacle({State::kReady, 12040, 1, ""}, 13000, true);
  EXPECT_THAT(old.what, AllOf(HasSubstr("CUDA 12.4"), HasSubstr("CUDA 13.0")));
  EXPECT_THAT(old.remedy, AllOf(HasSubstr("580 or later"), HasSubstr("TTSFT_CUDA=cu126 "),
                                HasSubstr("device: cpu")));
  EXPECT_FALSE(old.expected);
  EXPECT_THAT(cuda_obstacle({State::kReady, 12080, 1, ""}, 13000, true).remedy,
              HasSubstr("TTSFT_CUDA=cu128 "));
  const CudaObstacle older = cuda_obstacle({State::kReady, 11080, 1, ""}, 12060, true);
  EXPECT_THAT(older.what, AllOf(HasSubstr("CUDA 11.8"), HasSubstr("CUDA 12.6")));
  EXPECT_THAT(older.remedy, AllOf(HasSubstr("525 or later"), Not(HasSubstr("TTSFT_CUDA"))));
}

TEST(CudaObstacle, AMachineWithoutAGpuIsNoSurprise) {
  EXPECT_TRUE(cuda_obstacle({State::kAbsent, 0, 0, "no file"}, 13000, false).expected);
  EXPECT_TRUE(cuda_obstacle({State::kNoDevice, 13000, 0, ""}, 13000, true).expected);
  const CudaObstacle container = cuda_obstacle({State::kAbsent, 0, 0, "no file"}, 13000, true);
  EXPECT_FALSE(container.expected);
  EXPECT_THAT(container.what, HasSubstr("no file"));
  EXPECT_THAT(container.remedy, HasSubstr("--gpus all"));
}

TEST(CudaObstacle, ABrokenDriverAndALibTorchWithoutCudaAreToldApart) {
  const CudaObstacle broken = cuda_obstacle({State::kFailed, 13000, 0, "error 803"}, 13000, true);
  EXPECT_THAT(broken.what, AllOf(HasSubstr("CUDA 13.0"), HasSubstr("error 803")));
  EXPECT_THAT(cuda_obstacle({State::kReady, 13000, 1, ""}, 0, true).what,
              HasSubstr("without CUDA"));
}

TEST(CudaVersion, OfLibTorchIsWhatItsRuntimeSays) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12060), "12.6");
  const int version = cuda_of_libtorch();
  EXPECT_TRUE(version == 0 || (version >= 11000 && version < 20000)) << version;
}

}  // namespace
}  // namespace ttsft
