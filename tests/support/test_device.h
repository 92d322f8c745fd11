// TTSFT_TEST_DEVICE: where the tests that can run anywhere run; "cpu" where it is not set. On a
// card:
//   TTSFT_TEST_DEVICE=cuda ctest --test-dir build -R 'nn|codec|models|contract'
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <string>

#include "ttsft/nn/device.h"

namespace ttsft::test {

inline std::string test_device_name() {
  const char* name = std::getenv("TTSFT_TEST_DEVICE");
  return name != nullptr && *name != '\0' ? name : "cpu";
}

inline torch::Device test_device() {
  static const torch::Device device = resolve_device(test_device_name());
  return device;
}

}  // namespace ttsft::test

// For tests that compare a device with the CPU.
#define TTSFT_REQUIRE_TEST_DEVICE() \
  if (std::getenv("TTSFT_TEST_DEVICE") == nullptr) GTEST_SKIP() << "set TTSFT_TEST_DEVICE=cuda"
