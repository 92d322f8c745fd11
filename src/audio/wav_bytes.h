// The bytes of a RIFF wav, mono.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "ttsft/audio/audio.h"

namespace ttsft {

int wav_sample_bytes(WavFormat format);
// What stands before the samples. Without a number of them: that it is unknown.
std::string wav_header(std::optional<uint64_t> samples, int sample_rate, WavFormat format);
// Integers as libsndfile makes them: floor(x * 2^(bits-1)), clipped.
std::string wav_samples(std::span<const float> samples, WavFormat format);

}  // namespace ttsft
