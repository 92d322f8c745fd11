#include "ttsft/audio/sinc_resample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <string>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr double kWidth = 6, kRolloff = 0.99;

// The filter of one output phase: out[b * target + phase] = sum of taps[i] * in[b * orig + first +
// i].
struct Phase {
  int64_t first = 0;
  std::vector<float> taps;
};

// T and the order of operations are torchaudio's, so that the rounding of the filter is, too.
template <typename T>
float tap(int64_t index, int64_t phase, int64_t orig, int64_t target, double base) {
  // Upstream divides whole numbers for the phase, which yields float32 in both cases.
  const auto shift = static_cast<T>(static_cast<float>(-phase) / static_cast<float>(target));
  T t = (shift + static_cast<T>(index) / static_cast<T>(orig)) * static_cast<T>(base);
  t = std::clamp(t, static_cast<T>(-kWidth), static_cast<T>(kWidth));
  const T cosine =
      std::cos(t * static_cast<T>(std::numbers::pi) / static_cast<T>(kWidth) / static_cast<T>(2));
  const T window = cosine * cosine * static_cast<T>(base / static_cast<double>(orig));
  t *= static_cast<T>(std::numbers::pi);
  return static_cast<float>((t == 0 ? static_cast<T>(1) : std::sin(t) / t) * window);
}

std::vector<Phase> make_phases(int64_t orig, int64_t target, KernelPrecision precision) {
  const double base = static_cast<double>(std::min(orig, target)) * kRolloff;
  const double reach = kWidth * static_cast<double>(orig) / base;  // in input samples
  const bool wide = precision == KernelPrecision::kDouble;
  std::vector<Phase> phases(static_cast<size_t>(target));
  for (int64_t p = 0; p < target; ++p) {
    const double centre = static_cast<double>(p * orig) / static_cast<double>(target);
    Phase& phase = phases[static_cast<size_t>(p)];
    phase.first = static_cast<int64_t>(std::ceil(centre - reach));
    const auto last = static_cast<int64_t>(std::floor(centre + reach));
    for (int64_t i = phase.first; i <= last; ++i) {
      phase.taps.push_back(wide ? tap<double>(i, p, orig, target, base)
                                : tap<float>(i, p, orig, target, base));
    }
  }
  return phases;
}

}  // namespace

std::vector<float> resample_sinc(std::span<const float> samples, int from, int to,
                                 KernelPrecision precision) {
  if (from < 1 || to < 1) {
    throw DataError(
        "cannot resample from " + std::to_string(from) + " to " + std::to_string(to) + " Hz", "",
        "both rates must be positive");
  }
  if (from == to || samples.empty()) return {samples.begin(), samples.end()};
  const int64_t common = std::gcd(from, to), orig = from / common, target = to / common;
  const auto count = static_cast<int64_t>(samples.size());
  const std::vector<Phase> phases = make_phases(orig, target, precision);
  // Upstream takes the ceiling of a float32, which for long files loses a fraction and with it the
  // last sample.
  std::vector<float> out(static_cast<size_t>(std::ceil(
      static_cast<float>(static_cast<double>(target * count) / static_cast<double>(orig)))));
  for (size_t n = 0; n < out.size(); ++n) {
    const auto at = static_cast<int64_t>(n);
    const Phase& phase = phases[static_cast<size_t>(at % target)];
    const int64_t start = at / target * orig + phase.first;
    const int64_t begin = std::max<int64_t>(0, -start);
    const int64_t end = std::min(static_cast<int64_t>(phase.taps.size()), count - start);
    // In upstream's convolution, too, each output is one chain of fused float32 steps: the last bit
    // of a wave decides what the logarithm of a nearly empty mel band is.
    float sum = 0;
    for (int64_t i = begin; i < end; ++i)
      sum = std::fma(samples[static_cast<size_t>(start + i)], phase.taps[static_cast<size_t>(i)],
                     sum);
    out[n] = sum;
  }
  return out;
}

}  // namespace ttsft
