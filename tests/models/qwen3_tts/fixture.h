// The Qwen3-TTS fixture: a tiny checkpoint in the released layout and what upstream computed with
// it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "models/qwen3_tts/config.h"
#include "tests/support/tensor_test.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline std::filesystem::path fixture_path(const std::string& relative) {
  return std::filesystem::path(TTSFT_FIXTURES) / "qwen3_tts" / relative;
}

// Opened once per process.
inline std::shared_ptr<SafetensorsReader> open_fixture(const std::string& relative) {
  static std::map<std::string, std::shared_ptr<SafetensorsReader>> open;
  auto& reader = open[relative];
  if (!reader) {
    reader = std::make_shared<SafetensorsReader>(SafetensorsReader::open(fixture_path(relative)));
  }
  return reader;
}

inline std::shared_ptr<SafetensorsReader> model_weights() {
  return open_fixture("checkpoint/model.safetensors");
}
inline std::shared_ptr<SafetensorsReader> codec_weights() {
  return open_fixture("checkpoint/speech_tokenizer/model.safetensors");
}

// expected/<file>.safetensors, e.g. expected_tensor("prep", "mel.ref").
inline torch::Tensor expected_tensor(const std::string& file, const std::string& name) {
  return copy_tensor(open_fixture("expected/" + file + ".safetensors")->at(name));
}

inline const Config& fixture_config() {
  static const Config config = read_config(fixture_path("checkpoint"));
  return config;
}

// audio/<name>.wav, 24 kHz, [N].
inline torch::Tensor fixture_wave(const std::string& name) {
  const AudioFile file = decode_audio(fixture_path("audio/" + name + ".wav"));
  EXPECT_EQ(file.audio.sample_rate, 24000);
  return torch::tensor(file.audio.samples);
}

}  // namespace ttsft::qwen3_tts::test
