// What Whisper hears: log-mel of 10 ms frames, its loudest 80 dB.
// Source: openai/whisper (MIT), whisper/audio.py (log_mel_spectrogram);
// transformers 5.24.0 (Apache-2.0),
// models/whisper/feature_extraction_whisper.py.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>

#include "ttsft/features/mel.h"

namespace ttsft {

inline constexpr int kWhisperRate = 16000; // Hz
inline constexpr int64_t kWhisperFft = 400, kWhisperHop = 160;

class WhisperFeatures {
public:
  WhisperFeatures(int64_t mels, torch::Device device);

  // Samples at kWhisperRate with zeros behind their end, so that there are that
  // many frames -> [mels, frames] on the device, float32. What is 80 dB below
  // the loudest of all frames counts as that.
  torch::Tensor operator()(std::span<const float> samples,
                           int64_t frames) const;

private:
  torch::Device device_;
  MelExtractor mel_;
};

} // namespace ttsft
