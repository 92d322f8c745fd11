#include "sound.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "ttsft/features/stft.h"

namespace ttsft {
namespace {

constexpr int64_t kFrame = kCurateRate / 100;  // samples
constexpr double kFloor = -120;                // dB
constexpr double kLoudShare = 0.95, kLoudLevel = -20, kNothing = -80;
constexpr double kMostGain = 40, kLeastGain = -20;  // dB

constexpr double kBefore = 0.35, kAfter = 0.25;  // seconds that an edge may move
constexpr double kAboveBackground = 6;           // dB
constexpr double kBelowSpeech = 35;              // dB: softer than any sound of speech
constexpr double kNear = 2.0;                    // seconds

constexpr int64_t kTonalFft = 1024, kTonalHop = 256;
constexpr int64_t kHeldFrames = 12;  // of 16 ms
constexpr double kPeak = 3.98;       // 6 dB above two bins beside it
constexpr double kActive = 1e-3;     // of the loudest frame

double decibels(double power) {
  return power > 0 ? std::max(10 * std::log10(power), kFloor) : kFloor;
}
double factor(double db) {
  return std::pow(10.0, db / 20);
}

double quantile_of(std::vector<double> values, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

// The pauses between spans, and both ends.
std::vector<SpeechSpan> pauses_of(const std::vector<SpeechSpan>& speech, double seconds) {
  std::vector<SpeechSpan> pauses;
  double from = 0;
  for (const SpeechSpan& span : speech) {
    if (span.begin > from) pauses.push_back({from, span.begin});
    from = span.end;
  }
  if (seconds > from) pauses.push_back({from, seconds});
  return pauses;
}

}  // namespace

Levels::Levels(std::span<const float> samples) {
  for (size_t i = 0; i < samples.size(); i += kFrame) {
    const auto frame = samples.subspan(i, std::min<size_t>(kFrame, samples.size() - i));
    double power = 0;
    for (const float x : frame) power += static_cast<double>(x) * x;
    db_.push_back(decibels(power / static_cast<double>(frame.size())));
  }
}

size_t Levels::frame_of(double seconds) {
  return static_cast<size_t>(std::max(seconds, 0.0) * kCurateRate / kFrame + 0.5);
}

double Levels::mean(double begin, double end) const {
  const size_t first = std::min(frame_of(begin), db_.size());
  const size_t last = std::min(std::max(frame_of(end), first + 1), db_.size());
  double power = 0;
  for (size_t i = first; i < last; ++i) power += std::pow(10.0, db_[i] / 10);
  return last > first ? decibels(power / static_cast<double>(last - first)) : kFloor;
}

double Levels::quantile(const std::vector<SpeechSpan>& spans, double share) const {
  std::vector<double> values;
  for (const SpeechSpan& span : spans)
    for (size_t i = frame_of(span.begin); i < std::min(frame_of(span.end), db_.size()); ++i)
      values.push_back(db_[i]);
  return values.empty() ? kFloor : quantile_of(std::move(values), share);
}

double listening_gain(std::span<const float> samples) {
  if (samples.empty()) return 0;
  const Levels levels(samples);
  const double seconds = static_cast<double>(samples.size()) / kCurateRate;
  const double loud = levels.quantile({{0, seconds}}, kLoudShare);
  // Little speech in much silence has no loud 95th part.
  const double loudest = levels.quantile({{0, seconds}}, 1.0);
  const double level = std::max(loud, loudest - 15);
  if (level < kNothing) return 0;
  return factor(std::clamp(kLoudLevel - level, kLeastGain, kMostGain));
}

double speech_gain(const Levels& levels, const std::vector<SpeechSpan>& speech) {
  double power = 0, seconds = 0;
  for (const SpeechSpan& span : speech) {
    power += std::pow(10.0, levels.mean(span.begin, span.end) / 10) * span.seconds();
    seconds += span.seconds();
  }
  if (seconds == 0) return 1;
  return factor(std::clamp(kSpeechLevel - decibels(power / seconds), kLeastGain, kMostGain));
}

void refine_edges(std::vector<SpeechSpan>& speech, const Levels& levels, double seconds) {
  const std::vector<SpeechSpan> found = speech;
  for (size_t i = 0; i < speech.size(); ++i) {
    SpeechSpan& span = speech[i];
    const double before = i == 0 ? 0 : (found[i - 1].end + span.begin) / 2;
    const double after = i + 1 == speech.size() ? seconds : (span.end + found[i + 1].begin) / 2;
    const double heard = std::max(background_level(levels, found, found[i]) + kAboveBackground,
                                  levels.mean(span.begin, span.end) - kBelowSpeech);
    const auto is_sound = [&](size_t frame) {
      return frame < levels.size() && levels[frame] > heard;
    };
    // Two frames in a row: a click is no beginning.
    const size_t first = Levels::frame_of(std::max(before, span.begin - kBefore));
    const size_t last = Levels::frame_of(std::min(after, span.end + kAfter));
    const size_t middle = Levels::frame_of((span.begin + span.end) / 2);
    size_t begin = first, end = last;
    while (begin < middle && !(is_sound(begin) && is_sound(begin + 1))) ++begin;
    while (end > middle && !(is_sound(end - 1) && is_sound(end - 2))) --end;
    if (begin < middle && end > middle) {
      span.begin = static_cast<double>(begin) * kFrame / kCurateRate;
      span.end = std::min(static_cast<double>(end) * kFrame / kCurateRate, seconds);
    }
  }
}

double background_level(const Levels& levels, const std::vector<SpeechSpan>& speech,
                        const SpeechSpan& near) {
  const double seconds = static_cast<double>(levels.size()) * kFrame / kCurateRate;
  std::vector<SpeechSpan> close;
  for (const SpeechSpan& pause : pauses_of(speech, seconds)) {
    const SpeechSpan part{std::max(pause.begin, near.begin - kNear),
                          std::min(pause.end, near.end + kNear)};
    // Edges belong to the speech still.
    if (part.end - part.begin > 0.1) close.push_back({part.begin + 0.03, part.end - 0.03});
  }
  return levels.quantile(close, 0.5);
}

double tonal_share(std::span<const float> samples) {
  if (static_cast<int64_t>(samples.size()) < kTonalFft + kHeldFrames * kTonalHop) return 0;
  c10::InferenceMode guard;
  const torch::Tensor wave =
      torch::from_blob(const_cast<float*>(samples.data()), {static_cast<int64_t>(samples.size())});
  const torch::Tensor power =
      spectrogram(wave, {.fft = kTonalFft, .window = kTonalFft, .hop = kTonalHop}, 2.0);
  const auto bin = [](double hz) {
    return static_cast<int64_t>(hz * kTonalFft / kCurateRate + 0.5);
  };
  const torch::Tensor band = power.slice(0, bin(800), bin(4000)).transpose(0, 1).contiguous();
  const int64_t frames = band.size(0), bins = band.size(1);
  const float* values = band.data_ptr<float>();  // [T, bins]
  std::vector<double> energies;
  for (int64_t t = 0; t < frames; ++t) {
    double sum = 0;
    for (int64_t b = 0; b < bins; ++b) sum += values[t * bins + b];
    energies.push_back(sum);
  }
  const double loudest = *std::max_element(energies.begin(), energies.end());
  // For how many frames each bin has held a peak, which may move by one bin a frame.
  std::vector<int64_t> held(static_cast<size_t>(bins), 0), now(static_cast<size_t>(bins), 0);
  int64_t active = 0, tonal = 0;
  for (int64_t t = 0; t < frames; ++t) {
    const float* frame = values + t * bins;
    bool holds = false;
    std::fill(now.begin(), now.end(), 0);
    for (int64_t b = 2; b < bins - 2; ++b) {
      const double beside = std::max(frame[b - 2], frame[b + 2]);
      if (frame[b] < frame[b - 1] || frame[b] < frame[b + 1] || frame[b] <= kPeak * beside)
        continue;
      const auto at = held.begin() + b;
      now[static_cast<size_t>(b)] = 1 + std::max({*(at - 1), *at, *(at + 1)});
      holds = holds || now[static_cast<size_t>(b)] >= kHeldFrames;
    }
    std::swap(held, now);
    if (energies[static_cast<size_t>(t)] <= kActive * loudest) continue;
    ++active;
    tonal += holds;
  }
  return active > 0 ? static_cast<double>(tonal) / static_cast<double>(active) : 0;
}

}  // namespace ttsft
