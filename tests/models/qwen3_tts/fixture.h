// The Qwen3-TTS fixture: a tiny checkpoint in the released layout and what upstream computed with
// it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/qwen3_tts/config.h"
#include "tests/support/model_fixture.h"

namespace ttsft::qwen3_tts::test {

using ttsft::test::expect_close;
using ttsft::test::expect_equal;

inline const ttsft::test::ModelFixture& fixture() {
  static const ttsft::test::ModelFixture fixture("qwen3_tts");
  return fixture;
}
inline std::filesystem::path fixture_path(const std::string& relative) {
  return fixture().path(relative);
}
inline std::shared_ptr<const TensorFile> open_fixture(const std::string& relative) {
  return fixture().file(relative);
}
inline std::shared_ptr<const TensorFile> model_weights() {
  return open_fixture("checkpoint/model.safetensors");
}
inline std::shared_ptr<const TensorFile> codec_weights() {
  return open_fixture("checkpoint/speech_tokenizer/model.safetensors");
}

// expected/<file>.safetensors, e.g. expected_tensor("prep", "mel.ref").
inline torch::Tensor expected_tensor(const std::string& file, const std::string& name) {
  return fixture().expected(file, name);
}

inline const Config& fixture_config() {
  static const Config config = read_config(fixture_path("checkpoint"));
  return config;
}

// audio/<name>.wav, 24 kHz, [N].
inline torch::Tensor fixture_wave(const std::string& name) {
  const Audio audio = fixture().audio(name);
  EXPECT_EQ(audio.sample_rate, 24000);
  return torch::tensor(audio.samples);
}

}  // namespace ttsft::qwen3_tts::test
