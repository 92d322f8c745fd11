#include "ttsft/features/mel.h"

#include <cmath>
#include <string>
#include <vector>

#include "ttsft/core/error.h"

namespace ttsft {

namespace {

// Slaney's scale: 3 mels per 200 Hz up to 1 kHz, then 27 steps per factor of 6.4.
constexpr double kLinearHz = 200.0 / 3, kBreakHz = 1000.0, kBreakMel = kBreakHz / kLinearHz;
const double kLogStep = std::log(6.4) / 27;

double to_mel(double hz, MelScale scale) {
  if (scale == MelScale::kHtk) return 2595.0 * std::log10(1.0 + hz / 700.0);
  return hz < kBreakHz ? hz / kLinearHz : kBreakMel + std::log(hz / kBreakHz) / kLogStep;
}

double to_hz(double mel, MelScale scale) {
  if (scale == MelScale::kHtk) return 700.0 * (std::pow(10.0, mel / 2595.0) - 1.0);
  return mel < kBreakMel ? mel * kLinearHz : kBreakHz * std::exp(kLogStep * (mel - kBreakMel));
}

double upper_limit(const MelOptions& options) {
  return options.fmax > 0 ? options.fmax : static_cast<double>(options.sample_rate) / 2;
}

}  // namespace

torch::Tensor mel_filterbank(const MelOptions& options) {
  const double top = upper_limit(options);
  if (options.bins < 1 || options.fmin < 0 || top <= options.fmin ||
      top > static_cast<double>(options.sample_rate) / 2) {
    throw UsageError("mel filterbank: " + std::to_string(options.bins) + " bins from " +
                     std::to_string(options.fmin) + " to " + std::to_string(top) + " Hz at " +
                     std::to_string(options.sample_rate) + " Hz is impossible");
  }
  const int64_t columns = options.stft.fft / 2 + 1;
  const double lowest = to_mel(options.fmin, options.scale), highest = to_mel(top, options.scale);
  std::vector<double> edges(options.bins + 2);  // Hz
  for (size_t i = 0; i < edges.size(); ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(options.bins + 1);
    edges[i] = to_hz(lowest + share * (highest - lowest), options.scale);
  }
  torch::Tensor filters = torch::zeros({options.bins, columns});
  auto values = filters.accessor<float, 2>();
  for (int64_t bin = 0; bin < options.bins; ++bin) {
    const double low = edges[bin], centre = edges[bin + 1], high = edges[bin + 2];
    const double height = options.norm == MelNorm::kSlaney ? 2.0 / (high - low) : 1.0;
    for (int64_t k = 0; k < columns; ++k) {
      const double hz = static_cast<double>(k * options.sample_rate) / options.stft.fft;
      const double slope = std::min((hz - low) / (centre - low), (high - hz) / (high - centre));
      // librosa rounds to float before the area is divided out; so do we.
      if (slope > 0) values[bin][k] = static_cast<float>(static_cast<float>(slope) * height);
    }
  }
  return filters;
}

MelExtractor::MelExtractor(const MelOptions& options, torch::Device device)
    : options_(options), filters_(mel_filterbank(options).to(device)) {}

torch::Tensor MelExtractor::operator()(const torch::Tensor& samples) const {
  torch::Tensor energy =
      spectrogram(samples, options_.stft, options_.power, options_.magnitude_epsilon);
  if (options_.drop_last_frame) energy = energy.narrow(-1, 0, energy.size(-1) - 1);
  const torch::Tensor mel = torch::matmul(energy.transpose(-1, -2), filters_.t());  // [.., T, bins]
  if (options_.log == LogKind::kNone) return mel;
  const torch::Tensor level = mel.clamp_min(options_.log_floor);
  return options_.log == LogKind::kNatural ? level.log() : level.log10();
}

}  // namespace ttsft
