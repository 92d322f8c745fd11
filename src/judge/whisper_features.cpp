#include "ttsft/judge/whisper_features.h"

#include <algorithm>
#include <vector>

namespace ttsft {
namespace {

constexpr double kLogFloor = 1e-10, kDynamicRange = 8; // of log10
constexpr int64_t kHalf = kWhisperFft / 2;             // frames are centred
constexpr int64_t kChunk =
    6000; // frames at a time: spectra are larger than what is made of them

MelOptions mel_options(int64_t mels) {
  MelOptions options;
  options.stft = {
      .fft = kWhisperFft, .window = kWhisperFft, .hop = kWhisperHop};
  options.sample_rate = kWhisperRate;
  options.bins = mels;
  options.power = 2;
  options.log = LogKind::kLog10;
  options.log_floor = kLogFloor;
  return options;
}

} // namespace

WhisperFeatures::WhisperFeatures(int64_t mels, torch::Device device)
    : device_(device), mel_(mel_options(mels), device) {}

torch::Tensor WhisperFeatures::operator()(std::span<const float> samples,
                                          int64_t frames) const {
  const int64_t length = frames * kWhisperHop;
  torch::Tensor wave = torch::zeros({1, length});
  const int64_t heard = std::min(length, static_cast<int64_t>(samples.size()));
  std::copy_n(samples.data(), heard, wave.data_ptr<float>());
  // The frame that would begin at the last sample is dropped.
  wave = torch::reflection_pad1d(wave, {kHalf, kHalf}).squeeze(0).to(device_);
  std::vector<torch::Tensor> chunks;
  for (int64_t first = 0; first < frames; first += kChunk) {
    const int64_t count = std::min(kChunk, frames - first);
    chunks.push_back(mel_(
        wave.narrow(0, first * kWhisperHop,
                    (count - 1) * kWhisperHop + kWhisperFft))); // [T, mels]
  }
  const torch::Tensor level = torch::cat(chunks).t(); // [mels, T]
  return torch::maximum(level, level.amax() - kDynamicRange).add_(4).div_(4);
}

} // namespace ttsft
