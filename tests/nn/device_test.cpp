#include "ttsft/nn/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/version.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

bool driver_present() {
  return std::filesystem::exists("/dev/nvidiactl");
}

TEST(Device, Cpu) {
  EXPECT_EQ(resolve_device("cpu"), torch::Device(torch::kCPU));
}

TEST(Device, UnknownWordsAreRefused) {
  for (const std::string name : {"", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:1x", "cuda:-1",
                                 "cuda:1000", "cpu:0", "cuda 0", "mps"}) {
    EXPECT_THAT(message_of<UsageError>([&] { resolve_device(name); }),
                AllOf(HasSubstr("unknown device '" + name + "'"),
                      HasSubstr("use auto, cpu, cuda or cuda:N")))
        << name;
  }
}

TEST(Device, CudaWithoutADriverIsWrongUsage) {
  if (driver_present()) GTEST_SKIP() << "this machine has a GPU driver";
  for (const std::string name : {"cuda", "cuda:0", "cuda:3"}) {
    EXPECT_THAT(message_of<UsageError>([&] { resolve_device(name); }),
                AllOf(HasSubstr("no CUDA device"), HasSubstr("device: " + name + ";"),
                      HasSubstr("set device: cpu")))
        << name;
  }
}

TEST(Device, AutoWithoutADriverIsTheCpu) {
  if (driver_present()) GTEST_SKIP() << "this machine has a GPU driver";
  EXPECT_EQ(resolve_device("auto"), torch::Device(torch::kCPU));
}

TEST(Device, AGpuBeyondTheLastIsWrongUsage) {
  if (!driver_present()) GTEST_SKIP() << "this machine has no GPU driver";
  EXPECT_THAT(message_of<UsageError>([] { resolve_device("cuda:999"); }),
              HasSubstr("device: cuda:999"));
}

TEST(Precision, FollowsTheDeviceUnlessNamed) {
  const torch::Device cpu(torch::kCPU), cuda(torch::kCUDA, 0);
  EXPECT_EQ(resolve_precision("auto", cpu), torch::kFloat32);
  EXPECT_EQ(resolve_precision("auto", cuda), torch::kBFloat16);
  for (const torch::Device& device : {cpu, cuda}) {
    EXPECT_EQ(resolve_precision("fp32", device), torch::kFloat32);
    EXPECT_EQ(resolve_precision("bf16", device), torch::kBFloat16);
  }
  for (const std::string name : {"", "fp16", "float32", "BF16"}) {
    EXPECT_THAT(
        message_of<UsageError>([&] { resolve_precision(name, cpu); }),
        AllOf(HasSubstr("unknown precision '" + name + "'"), HasSubstr("use auto, fp32 or bf16")));
  }
}

TEST(Device, DescriptionSaysWhatRuns) {
  EXPECT_THAT(torch_description(), HasSubstr("LibTorch " TORCH_VERSION));
  if (!driver_present()) {
    EXPECT_THAT(torch_description(), HasSubstr("CPU only (no GPU driver)"));
  }
}

}  // namespace
}  // namespace ttsft
