// Signals and files that the audio tests share.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace ttsft::testing_audio {

inline const std::filesystem::path kFixtures = std::filesystem::path(TTSFT_FIXTURES);
inline const std::filesystem::path kAudio = kFixtures / "audio";
inline const std::filesystem::path kAusten = kFixtures / "austen" / "wavs";

inline std::vector<float> tone(double hertz, int sample_rate, double seconds,
                               double level = 0.125) {
  std::vector<float> out(size_t(seconds * sample_rate));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = float(level * std::sin(2 * std::numbers::pi * hertz * double(i) / sample_rate));
  }
  return out;
}

inline std::vector<float> noise(int sample_rate, double seconds, double level = 0.1, int seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, float(level));
  std::vector<float> out(size_t(seconds * sample_rate));
  for (float& x : out) x = normal(random);
  return out;
}

// Noise whose level falls by 12 dB per octave above 500 Hz and swells four times a second: speech,
// to a spectrum.
inline std::vector<float> speech_like(int sample_rate, double seconds, double level = 0.2) {
  std::vector<float> out = noise(sample_rate, seconds, level);
  const double keep = std::exp(-2 * std::numbers::pi * 500 / sample_rate);
  double once = 0, twice = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    once = keep * once + (1 - keep) * out[i];
    twice = keep * twice + (1 - keep) * once;
    const double swell = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * 4 * double(i) / sample_rate);
    out[i] = float(4 * twice * swell);
  }
  return out;
}

inline double rms(const std::vector<float>& samples) {
  double sum = 0;
  for (const float x : samples) sum += double(x) * x;
  return std::sqrt(sum / double(samples.size()));
}

}  // namespace ttsft::testing_audio
