#include <algorithm>
#include <cmath>

#include "spectrum.h"
#include "ttsft/audio/guards.h"

namespace ttsft {
namespace {

constexpr float kFullScale = 0.9999f;  // 32767 / 32768 counts as full scale
constexpr double kWindow = 0.02;       // seconds
constexpr double kSilenceRange = 50;   // dB below the loudest window

// Samples that stand in runs of two or more at full scale, same sign.
int64_t clipped_samples(const std::vector<float>& samples) {
  int64_t clipped = 0, run = 0;
  int previous = 0;
  for (const float x : samples) {
    const int sign = x >= kFullScale ? 1 : x <= -kFullScale ? -1 : 0;
    run = sign != 0 && sign == previous ? run + 1 : int64_t(sign != 0);
    if (run == 2) ++clipped;  // the first of the run
    if (run >= 2) ++clipped;
    previous = sign;
  }
  return clipped;
}

void measure_silence(const std::vector<float>& samples, int sample_rate, AudioStats& stats) {
  const size_t window = std::max<size_t>(1, size_t(sample_rate * kWindow));
  std::vector<double> power;
  for (size_t begin = 0; begin < samples.size(); begin += window) {
    const size_t end = std::min(samples.size(), begin + window);
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += double(samples[i]) * samples[i];
    power.push_back(sum / double(end - begin));
  }
  const double limit =
      *std::max_element(power.begin(), power.end()) * std::pow(10.0, -kSilenceRange / 10);
  const auto silent = [&](double p) { return p <= limit; };  // all of a file of zeros
  const auto loud_front = std::find_if_not(power.begin(), power.end(), silent);
  const auto loud_back = std::find_if_not(power.rbegin(), power.rend(), silent);
  const auto seconds = [&](std::ptrdiff_t windows) {
    return std::min(stats.seconds, double(windows) * double(window) / sample_rate);
  };
  stats.silence_share =
      double(std::count_if(power.begin(), power.end(), silent)) / double(power.size());
  stats.leading_silence = seconds(loud_front - power.begin());
  stats.trailing_silence = seconds(loud_back - power.rbegin());
}

}  // namespace

AudioStats measure(const Audio& audio) {
  AudioStats stats;
  stats.seconds = audio.seconds();
  if (audio.samples.empty() || audio.sample_rate <= 0) return stats;
  std::vector<float> samples = audio.samples;
  double sum = 0;
  for (float& x : samples) {
    if (!std::isfinite(x)) {
      ++stats.bad_values;
      x = 0;  // the rest of the numbers describe what can be described
    }
    stats.peak = std::max(stats.peak, double(std::abs(x)));
    sum += double(x) * x;
  }
  stats.rms = std::sqrt(sum / double(samples.size()));
  stats.clipped_share = double(clipped_samples(samples)) / double(samples.size());
  measure_silence(samples, audio.sample_rate, stats);
  stats.bandwidth_hz = content_bandwidth(samples, audio.sample_rate);
  return stats;
}

}  // namespace ttsft
