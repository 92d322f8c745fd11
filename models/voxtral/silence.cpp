#include "models/voxtral/silence.h"

#include <algorithm>
#include <cstddef>

namespace ttsft::voxtral {
namespace {

constexpr double kSilence = 1e-4;     // of the loudest frame's power: 40 dB below it
constexpr int64_t kLongSilence = 25;  // frames, 2 s

}  // namespace

std::vector<double> silence_weights(std::span<const float> wave, int64_t hop, double weight) {
  std::vector<double> power;
  for (size_t begin = 0; begin < wave.size(); begin += static_cast<size_t>(hop)) {
    const auto frame = wave.subspan(begin, std::min(static_cast<size_t>(hop), wave.size() - begin));
    double sum = 0;
    for (const float x : frame) sum += static_cast<double>(x) * x;
    power.push_back(sum / static_cast<double>(frame.size()));
  }
  std::vector<double> weights(power.size(), 1.0);
  if (power.empty()) return weights;
  const double limit = kSilence * *std::max_element(power.begin(), power.end());
  for (size_t begin = 0; begin < power.size();) {
    size_t end = begin;
    while (end < power.size() && power[end] < limit) ++end;
    const bool is_long = static_cast<int64_t>(end - begin) > kLongSilence;
    std::fill(weights.begin() + static_cast<std::ptrdiff_t>(begin),
              weights.begin() + static_cast<std::ptrdiff_t>(end), is_long ? 0.0 : weight);
    begin = end + 1;
  }
  return weights;
}

}  // namespace ttsft::voxtral
