#include "ttsft/audio/trim.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace ttsft {

namespace {

constexpr double kSmallestPower = 1e-10;  // (1e-5)^2

// Mean square of each centred frame, never below the smallest power.
std::vector<double> frame_powers(std::span<const float> samples, const TrimOptions& options) {
  const size_t count = samples.size(), pad = options.frame / 2;
  std::vector<double> sums(count + 1);  // of squares before each sample
  for (size_t i = 0; i < count; ++i) {
    sums[i + 1] = sums[i] + static_cast<double>(samples[i]) * static_cast<double>(samples[i]);
  }
  const size_t frames = (count + 2 * pad - options.frame) / options.hop + 1;
  std::vector<double> powers(frames);
  for (size_t t = 0; t < frames; ++t) {
    const size_t begin = t * options.hop, end = begin + options.frame;  // in the padded signal
    const size_t from = std::min(std::max(begin, pad) - pad, count);
    const size_t to = std::min(std::max(end, pad) - pad, count);
    powers[t] =
        std::max(kSmallestPower, (sums[to] - sums[from]) / static_cast<double>(options.frame));
  }
  return powers;
}

}  // namespace

SampleRange trim_range(std::span<const float> samples, const TrimOptions& options) {
  if (options.frame < 2 || options.frame % 2 != 0 || options.hop < 1) {
    throw std::logic_error("trim_range: a frame is an even number of samples, a hop at least one");
  }
  if (samples.empty()) return {};
  const std::vector<double> powers = frame_powers(samples, options);
  const double loudest = *std::max_element(powers.begin(), powers.end());
  const auto audible = [&](double power) {
    return 10 * std::log10(power / loudest) > -options.top_db;
  };
  const auto first = std::find_if(powers.begin(), powers.end(), audible);
  const auto behind = std::find_if(powers.rbegin(), powers.rend(), audible).base();
  const auto at = [&](auto frame) {
    return std::min(samples.size(), static_cast<size_t>(frame - powers.begin()) * options.hop);
  };
  return {at(first), at(behind)};
}

}  // namespace ttsft
