#include "models/voxtral/errors.h"

namespace ttsft::voxtral {
namespace {

constexpr int64_t kSizes[] = {64, 128, 256, 512, 1024, 2048};  // of the spectra's windows
constexpr double kLeast = 1e-5;  // of a mean that is divided by: silence is no infinite error

// Spectra [B, bins, frames] of windows that lie in the signal.
torch::Tensor magnitudes(const torch::Tensor& wave, int64_t size) {
  const torch::Tensor window = torch::hann_window(size, wave.options());
  return torch::stft(wave, size, size / 4, size, window, /*center=*/false, "reflect",
                     /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true)
      .abs();
}

}  // namespace

torch::Tensor first_ones(const std::vector<int64_t>& counts, int64_t size, torch::Device device) {
  const torch::Tensor limit = torch::tensor(counts, torch::kInt64).to(device).unsqueeze(1);
  return torch::arange(size, limit.options()).unsqueeze(0).lt(limit).to(torch::kFloat32);
}

torch::Tensor mean_of_first(const torch::Tensor& values, const std::vector<int64_t>& counts) {
  const torch::Tensor per_time = values.dim() > 2 ? values.flatten(2).mean(2) : values;  // [B, T]
  const torch::Tensor own = first_ones(counts, per_time.size(1), values.device());
  return (per_time * own).sum(1) / own.sum(1).clamp_min(1);
}

SpectralError::SpectralError(const torch::Tensor& wanted, const std::vector<int64_t>& samples) {
  for (const int64_t size : kSizes) {
    if (wanted.size(1) < size) continue;
    std::vector<int64_t> counts;
    for (const int64_t n : samples) counts.push_back(n < size ? 1 : (n - size) / (size / 4) + 1);
    Size one{size, magnitudes(wanted, size), {}, {}, {}};
    one.own = first_ones(counts, one.spectrum.size(2), wanted.device()).unsqueeze(1);
    one.values = one.own.sum({1, 2}) * static_cast<double>(one.spectrum.size(1));
    one.level = ((one.spectrum * one.own).sum({1, 2}) / one.values).clamp_min(kLeast);
    sizes_.push_back(one);
  }
}

torch::Tensor SpectralError::operator()(const torch::Tensor& wave) const {
  torch::Tensor sum = torch::zeros({wave.size(0)}, wave.options());
  for (const Size& one : sizes_) {
    const torch::Tensor apart = (magnitudes(wave, one.size) - one.spectrum).abs() * one.own;
    sum = sum + apart.sum({1, 2}) / one.values / one.level;
  }
  return sizes_.empty() ? sum : sum / static_cast<double>(sizes_.size());
}

torch::Tensor wave_error(const torch::Tensor& wave, const torch::Tensor& wanted,
                         const std::vector<int64_t>& samples) {
  return mean_of_first((wave - wanted).abs(), samples);
}

}  // namespace ttsft::voxtral
