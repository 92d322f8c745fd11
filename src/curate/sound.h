// How a recording sounds: levels, exact edges of speech, and what makes a clip unfit to learn from.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ttsft/judge/voice_activity.h"

namespace ttsft {

inline constexpr int kCurateRate = kVoiceActivityRate;  // Hz; of all that is measured here

// Levels of frames of 10 ms, in dB of full scale.
class Levels {
 public:
  explicit Levels(std::span<const float> samples);  // at kCurateRate

  size_t size() const { return db_.size(); }
  double operator[](size_t frame) const { return db_[frame]; }
  static size_t frame_of(double seconds);

  double mean(double begin, double end) const;  // of the power, seconds
  // What `share` of the frames of the spans is below.
  double quantile(const std::vector<SpeechSpan>& spans, double share) const;

 private:
  std::vector<double> db_;
};

// The factor that brings the loud frames of a recording to -20 dB, so that a quiet one is heard.
// 0: there is nothing in it.
double listening_gain(std::span<const float> samples);

// The factor that brings speech to kSpeechLevel, clips one by one down to a peak of -1 dB.
inline constexpr double kSpeechLevel = -23;  // dB of full scale, mean power of the speech
double speech_gain(const Levels& levels, const std::vector<SpeechSpan>& speech);

// Spans found for every 32 ms, widened to where the sound really begins and ends: up to 0.35 s
// before and 0.25 s after, never past the middle of a pause.
void refine_edges(std::vector<SpeechSpan>& speech, const Levels& levels, double seconds);

// The background near a stretch: the quiet frames of the pauses within 2 s of it, dB. Very low
// where there is no pause.
double background_level(const Levels& levels, const std::vector<SpeechSpan>& speech,
                        const SpeechSpan& near);

// Share of the frames with a partial between 0.8 and 4 kHz that holds its pitch for 0.2 s. Voices
// glide: speech is at 0.05 or below. Music, also 20 dB below speech, and whistling machines are at
// 0.25 and above.
double tonal_share(std::span<const float> samples);

}  // namespace ttsft
