// Which clips are of one voice, by their speaker vectors.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ttsft/judge/speaker_encoder.h"
#include "ttsft/judge/voice_activity.h"

namespace ttsft {

using VoiceVector = std::vector<float>;  // of length 1; empty: not known

double likeness(const VoiceVector& a, const VoiceVector& b);  // dot product
// Their direction, each with its weight. Empty where there is none.
VoiceVector mean_voice(const std::vector<VoiceVector>& vectors,
                       const std::vector<double>& weights = {});

struct VoiceClip {
  VoiceVector vector;
  double seconds = 0;
};

struct VoiceGroup {
  std::string name;  // of a group that was given; "" of one that was found
  VoiceVector centre;
  std::vector<size_t> clips;
  double seconds = 0;
};

// Each clip goes to the group whose centre it is most like, if that is at least `same`; of the
// others new groups are made. Groups whose centres are as alike as that are one, unless both were
// given. Given groups first, in their order, then by seconds, most first. Clips without a vector
// are in none.
std::vector<VoiceGroup> group_voices(const std::vector<VoiceClip>& clips,
                                     std::vector<VoiceGroup> given, double same);

// A voice every 0.8 s: of windows of 1.6 s of a stretch of speech, or of all of it where it is
// shorter; none below 0.8 s.
struct VoiceWindow {
  double begin = 0, end = 0;  // seconds
  VoiceVector vector;
};
std::vector<VoiceWindow> voice_windows(SpeakerEncoder& encoder, std::span<const float> samples,
                                       const std::vector<SpeechSpan>& speech);

}  // namespace ttsft
