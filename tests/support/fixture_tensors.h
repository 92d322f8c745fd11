// Tensors of the fixtures: tiny checkpoints, and what upstream computed with them.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/support/tensor_test.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft::test {

inline std::filesystem::path fixture_path(const std::string& relative) {
  return std::filesystem::path(TTSFT_FIXTURES) / relative;
}

// A safetensors file under tests/fixtures, opened once per process.
inline std::shared_ptr<const TensorFile> open_fixture(const std::string& relative) {
  static std::map<std::string, std::shared_ptr<const TensorFile>> open;
  auto& file = open[relative];
  if (!file) {
    file = std::make_shared<SafetensorsReader>(SafetensorsReader::open(fixture_path(relative)));
  }
  return file;
}

// fixture_tensor("chatterbox/expected/prep", "a.ve_mel"). Integers come as int64.
inline torch::Tensor fixture_tensor(const std::string& stem, const std::string& name) {
  const torch::Tensor tensor = copy_tensor(open_fixture(stem + ".safetensors")->at(name));
  return tensor.is_floating_point() ? tensor : tensor.to(torch::kInt64);
}

// Samples of <model>/audio/<clip>.wav at the file's own rate, [N].
inline torch::Tensor fixture_wave(const std::string& model, const std::string& clip) {
  const AudioFile file = decode_audio(fixture_path(model + "/audio/" + clip + ".wav"));
  return torch::tensor(file.audio.samples);
}

// |actual - expected| <= tolerance * (1 + |expected|) everywhere.
inline void expect_near(const torch::Tensor& actual, const torch::Tensor& expected,
                        double tolerance, const std::string& what = {}) {
  ASSERT_TRUE(actual.defined() && expected.defined()) << what;
  ASSERT_EQ(shape_of(actual), shape_of(expected)) << what;
  const torch::Tensor scale = 1 + expected.abs();
  expect_close(actual / scale, expected / scale, tolerance, what);
}

}  // namespace ttsft::test
