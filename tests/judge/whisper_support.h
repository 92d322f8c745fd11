// What the tests of Whisper share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/judge/whisper_features.h"
#include "ttsft/nn/weights.h"

namespace ttsft::test {

inline const std::filesystem::path kWhisper =
    std::filesystem::path(TTSFT_FIXTURES) / "whisper";

inline SafetensorsReader whisper_expected() {
  return SafetensorsReader::open(kWhisper / "expected.safetensors");
}

inline nlohmann::ordered_json whisper_json() {
  return read_json_object(kWhisper / "expected.json");
}

inline Audio austen(const std::string &name) {
  return decode_audio(std::filesystem::path(TTSFT_FIXTURES) / "austen/wavs" /
                      (name + ".wav"))
      .audio;
}

inline std::vector<float> austen(const std::string &name, size_t first,
                                 size_t samples) {
  const std::vector<float> all = austen(name).samples;
  const auto begin = all.begin() + static_cast<ptrdiff_t>(first);
  return {begin, begin + static_cast<ptrdiff_t>(samples)};
}

// The clips that the tiny Whisper of the fixtures was given, at 16 kHz.
inline std::vector<std::vector<float>> whisper_rows() {
  std::vector<std::vector<float>> rows;
  const auto expected = whisper_json();
  for (const auto &row : expected["rows"])
    rows.push_back(austen(row[0], row[1].get<size_t>(), row[2].get<size_t>()));
  return rows;
}

inline torch::Tensor whisper_features_of_rows(torch::Device device) {
  const WhisperFeatures features(80, device);
  std::vector<torch::Tensor> mels;
  for (const std::vector<float> &row : whisper_rows())
    mels.push_back(features(row, 200));
  return torch::stack(mels); // [4, 80, 200]
}

} // namespace ttsft::test
