#include "ttsft/nn/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/version.h>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

bool gpu_usable() {
  return cuda_driver().state == CudaDriver::State::kReady;
}

// A machine with a driver that runs CUDA `driver`, and a LibTorch for CUDA 13.0 whose libraries
// answer `reason`.
CudaMachine machine(int driver, int devices, const std::string& reason = "") {
  const auto state = devices > 0 ? CudaDriver::State::kReady : CudaDriver::State::kNoDevice;
  return {{state, driver, devices, ""},
          13000,
          true,
          [reason] { return reason; },
          [devices] { return int64_t{devices}; },
          [](torch::Device) {}};
}

std::string refusal(const std::string& name, const CudaMachine& on) {
  return message_of<UsageError>([&] { resolve_device(name, on); });
}

// What resolve_device("auto") says aloud.
std::string said_by_auto(const CudaMachine& on, torch::Device expected) {
  init_logging(/*quiet=*/false);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(resolve_device("auto", on), expected);
  const std::string text = ::testing::internal::GetCapturedStderr();
  init_logging(/*quiet=*/true);
  return text;
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
  if (gpu_usable()) GTEST_SKIP() << "this machine has a GPU";
  for (const std::string name : {"cuda", "cuda:0", "cuda:3"}) {
    EXPECT_THAT(message_of<UsageError>([&] { resolve_device(name); }),
                AllOf(HasSubstr("device: " + name + ";"), HasSubstr("set device: cpu")))
        << name;
  }
}

TEST(Device, AutoWithoutADriverIsTheCpu) {
  if (gpu_usable()) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_EQ(resolve_device("auto"), torch::Device(torch::kCPU));
}

TEST(Device, AGpuIsTakenByAutoAndByNumber) {
  const CudaMachine two = machine(13000, 2);
  EXPECT_EQ(said_by_auto(two, torch::Device(torch::kCUDA, 0)), "");
  EXPECT_EQ(resolve_device("cuda", two), torch::Device(torch::kCUDA, 0));
  EXPECT_EQ(resolve_device("cuda:1", two), torch::Device(torch::kCUDA, 1));
  EXPECT_EQ(resolve_device("cpu", two), torch::Device(torch::kCPU));
}

TEST(Device, TheChosenGpuBecomesTheCurrentOneAndIsExact) {
  std::vector<torch::Device> used;
  CudaMachine two = machine(13000, 2);
  two.use = [&used](torch::Device device) { used.push_back(device); };
  at::globalContext().setAllowTF32CuDNN(true);  // LibTorch's default
  resolve_device("cuda:1", two);
  EXPECT_THAT(used, ElementsAre(torch::Device(torch::kCUDA, 1)));
  EXPECT_TRUE(float32_is(Float32::kExact));
  resolve_device("auto", two);
  EXPECT_EQ(used.back(), torch::Device(torch::kCUDA, 0));
  resolve_device("cpu", two);
  refusal("cuda:2", two);
  EXPECT_EQ(used.size(), 2u);
}

TEST(Device, AGpuBeyondTheLastIsWrongUsage) {
  EXPECT_THAT(refusal("cuda:2", machine(13000, 2)),
              AllOf(HasSubstr("there are 2 CUDA devices"), HasSubstr("device: cuda:2")));
  EXPECT_THAT(refusal("cuda:999", machine(13000, 1)), HasSubstr("there is 1 CUDA device"));
}

TEST(Device, AnOldDriverIsNamedWithItsRemedy) {
  bool opened = false;
  CudaMachine old = machine(12020, 1);
  old.open = [&opened] { return opened = true, std::string(); };
  const auto both = AllOf(HasSubstr("CUDA 12.2"), HasSubstr("CUDA 13.0"), HasSubstr("580"),
                          HasSubstr("TTSFT_CUDA=cu126"));
  EXPECT_THAT(refusal("cuda", old), both);
  EXPECT_THAT(said_by_auto(old, torch::kCPU), AllOf(both, HasSubstr("running on the CPU")));
  EXPECT_FALSE(opened) << "3 GB of libraries for nothing";
}

TEST(Device, MissingLibrariesAreNamedWithTheirRemedy) {
  const CudaMachine bare = machine(13000, 1, "libcublas.so.13: no such file");
  const auto what =
      AllOf(HasSubstr("libcublas.so.13"), HasSubstr("tools/quickstart --cuda --build"));
  EXPECT_THAT(refusal("cuda:0", bare), what);
  EXPECT_THAT(said_by_auto(bare, torch::kCPU), what);
}

TEST(Device, WhatLibTorchCannotUseBehindAGoodDriverIsSaid) {
  CudaMachine odd = machine(13000, 1);
  odd.devices = [] { return int64_t{0}; };
  EXPECT_THAT(refusal("cuda", odd), HasSubstr("finds no device behind the driver (CUDA 13.0)"));
  EXPECT_THAT(said_by_auto(odd, torch::kCPU), HasSubstr("running on the CPU"));
}

TEST(Device, AMachineWithoutAGpuIsNotWarned) {
  EXPECT_THAT(said_by_auto(machine(13000, 0), torch::kCPU),
              AllOf(HasSubstr("its driver shows none"), Not(HasSubstr("warning"))));
  CudaMachine bare;
  EXPECT_EQ(said_by_auto(bare, torch::kCPU), "");
  EXPECT_THAT(refusal("cuda", bare), HasSubstr("no CUDA device"));
  EXPECT_THAT(refusal("cuda", machine(13000, 0)), HasSubstr("CUDA_VISIBLE_DEVICES"));
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
  if (!gpu_usable()) {
    EXPECT_THAT(torch_description(), HasSubstr("CPU only ("));
  }
}

}  // namespace
}  // namespace ttsft
