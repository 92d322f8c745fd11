// torchaudio's windowed-sinc resampling by its definition, tap by tap in double: slow and plain.
#pragma once

#include <cmath>
#include <numbers>
#include <vector>

namespace ttsft::test {

// y[n] = sum over i of x[i] h(i / from - n / to).
inline std::vector<double> direct_sinc(const std::vector<float>& x, double from, double to) {
  const double pi = std::numbers::pi, base = 0.99 * std::min(from, to);
  std::vector<double> y(size_t(std::ceil(double(x.size()) * to / from)));
  for (size_t n = 0; n < y.size(); ++n) {
    const auto centre = double(n) * from / to;  // in input samples
    const auto reach = 6 * from / base + 1;
    const auto begin = size_t(std::max(0.0, std::floor(centre - reach)));
    const auto end = std::min(x.size(), size_t(std::ceil(centre + reach)));
    for (size_t i = begin; i < end; ++i) {
      const double t = (double(i) / from - double(n) / to) * base;
      if (std::abs(t) >= 6) continue;
      const double sinc = t == 0 ? 1 : std::sin(pi * t) / (pi * t);
      y[n] += x[i] * sinc * std::pow(std::cos(pi * t / 12), 2) * base / from;
    }
  }
  return y;
}

}  // namespace ttsft::test
