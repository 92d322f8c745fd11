#include "spectrum.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "ffmpeg.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr int kSize = 2048;  // samples per frame; halves overlap
constexpr int kBins = kSize / 2 + 1;
constexpr size_t kMaxFrames = 400;   // spread over the file: enough for a stable percentile
constexpr double kActiveRange = 40;  // dB below the loudest frame: quieter ones are pauses
constexpr double kSilence = -80;     // dB of full scale: no frame louder than this, no content
constexpr double kFloor = 100;       // dB below the highest bin: deeper lies arithmetic, not sound
constexpr double kLowest = 1000;     // Hz: below this no limit is looked for

// A limit at f shows as a step from the mean level in [0.8 f, 0.9 f] to the highest level
// above 1.12 f. Natural speech steps by up to 20 dB (measured on whole sentences), a single vowel
// by up to 32 dB; resampled speech by 27 to 60 dB.
constexpr double kPlateauBegin = 0.8, kPlateauEnd = 0.9, kBeyond = 1.12;
constexpr double kStep = 25;      // dB
constexpr double kShortStep = 6;  // dB more per second that is missing to kEnoughSeconds
constexpr double kEnoughSeconds = 1.5;
constexpr double kSameStep = 3;  // dB
constexpr double kEdge = 12;     // dB below the plateau: there the content ends

using Levels = std::vector<double>;  // dB per bin

double decibels(double power) {
  return 10 * std::log10(power + 1e-30);
}

struct FramePower {
  size_t begin;
  double level;  // dB of full scale
};

// Frames with sound in them, at most kMaxFrames, evenly spread.
std::vector<size_t> active_frames(std::span<const float> samples) {
  std::vector<FramePower> frames;
  double loudest = -300;
  for (size_t begin = 0; begin == 0 || begin + kSize <= samples.size(); begin += kSize / 2) {
    const size_t end = std::min(samples.size(), begin + kSize);
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += double(samples[i]) * samples[i];
    frames.push_back({begin, decibels(sum / double(std::max<size_t>(end - begin, 1)))});
    loudest = std::max(loudest, frames.back().level);
  }
  if (loudest < kSilence) return {};
  std::vector<size_t> active;
  for (const FramePower& frame : frames) {
    if (frame.level >= loudest - kActiveRange) active.push_back(frame.begin);
  }
  if (active.size() <= kMaxFrames) return active;
  std::vector<size_t> spread;
  for (size_t i = 0; i < kMaxFrames; ++i) {
    spread.push_back(active[i * active.size() / kMaxFrames]);
  }
  return spread;
}

// Power of every bin in every frame, [bins][frames].
std::vector<std::vector<float>> powers(std::span<const float> samples,
                                       const std::vector<size_t>& frames) {
  AVTXContext* raw = nullptr;
  av_tx_fn transform = nullptr;
  const float scale = 1.0f;
  const int result = av_tx_init(&raw, &transform, AV_TX_FLOAT_RDFT, 0, kSize, &scale, 0);
  if (result < 0) throw RunError("FFmpeg has no real Fourier transform", ffmpeg::reason(result));
  const ffmpeg::Transform context(raw);
  const auto input = ffmpeg::aligned_floats(kSize), output = ffmpeg::aligned_floats(kSize + 2);
  std::vector<float> window(kSize);
  for (int i = 0; i < kSize; ++i) {
    window[i] = float(0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / kSize));
  }
  std::vector<std::vector<float>> power(kBins, std::vector<float>(frames.size()));
  for (size_t f = 0; f < frames.size(); ++f) {
    for (int i = 0; i < kSize; ++i) {
      const size_t at = frames[f] + size_t(i);
      input[size_t(i)] = at < samples.size() ? samples[at] * window[i] : 0.0f;
    }
    transform(context.get(), output.get(), input.get(), sizeof(float));
    for (int k = 0; k < kBins; ++k) {
      const float re = output[size_t(2 * k)], im = output[size_t(2 * k + 1)];
      power[k][f] = re * re + im * im;
    }
  }
  return power;
}

// The level that one frame in fifty exceeds, so that rare hiss sounds count and a lone click in a
// long file does not; smoothed over nine bins; clamped from below.
Levels levels(std::vector<std::vector<float>> power) {
  Levels raw(kBins);
  for (int k = 0; k < kBins; ++k) {
    std::vector<float>& values = power[k];
    const size_t rank = values.size() * 98 / 100;
    const auto place = values.begin() + std::ptrdiff_t(rank);
    std::nth_element(values.begin(), place, values.end());
    raw[k] = decibels(*place);
  }
  const double floor = *std::max_element(raw.begin(), raw.end()) - kFloor;
  for (double& level : raw) level = std::max(level, floor);
  Levels smooth(kBins);
  for (int k = 0; k < kBins; ++k) {
    const int begin = std::max(0, k - 4), end = std::min(kBins, k + 5);
    double sum = 0;
    for (int i = begin; i < end; ++i) sum += raw[i];
    smooth[k] = sum / (end - begin);
  }
  return smooth;
}

double mean(const Levels& values, int begin, int end) {
  double sum = 0;
  for (int k = begin; k < end; ++k) sum += values[k];
  return sum / std::max(end - begin, 1);
}

}  // namespace

double content_bandwidth(std::span<const float> samples, int sample_rate) {
  const std::vector<size_t> frames = active_frames(samples);
  if (frames.empty() || samples.empty() || sample_rate <= 0) return 0;
  const Levels level = levels(powers(samples, frames));
  const double hertz_per_bin = double(sample_rate) / kSize;

  // highest[k]: the highest level from bin k up. The last bins are left out: a resampler's images
  // end there.
  const int last = kBins - 2;
  Levels highest(kBins, -300);
  for (int k = last; k >= 0; --k) highest[k] = std::max(level[k], highest[std::min(k + 1, last)]);

  const auto plateau = [&](int k) {
    return mean(level, int(k * kPlateauBegin), int(k * kPlateauEnd));
  };
  const auto step = [&](int k) { return plateau(k) - highest[int(k * kBeyond)]; };
  const int first = int(kLowest / hertz_per_bin), end = int(last * 0.98 / kBeyond);
  double best = 0;
  for (int k = first; k < end; ++k) best = std::max(best, step(k));
  const double seconds = double(frames.size()) * kSize / 2 / sample_rate;
  if (best < kStep + kShortStep * std::max(0.0, kEnoughSeconds - seconds)) return sample_rate / 2.0;

  // A range of places sees the whole step; from the highest, the plateau is nearest to the edge.
  int place = end - 1;
  while (step(place) < best - kSameStep) --place;
  int edge = int(place * kBeyond);
  const double audible = plateau(place) - kEdge;
  while (edge > int(place * kPlateauBegin) && level[edge] < audible) --edge;
  return edge * hertz_per_bin;
}

}  // namespace ttsft
