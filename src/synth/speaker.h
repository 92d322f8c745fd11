// The decoding loop over many segments, and the putting together of what belongs to one text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ttsft/model/synthesizer.h"

namespace ttsft {

struct TextToSpeak {
  std::string label;  // in log and error lines
  std::string words;
};

// One text when all its segments are there.
struct SpokenText {
  Audio audio;
  torch::Tensor codes;  // [F, C] or [F] of all segments; undefined without frames
  int64_t frames = 0;   // 0: the model ended at once
  int64_t segments = 0;
  bool reached_limit = false;
};

struct SpeakOptions {
  DecodeOptions decode;
  uint64_t seed = 1;
  bool on_gpu = false;  // looks at finished() seldom, for that waits for the device
};

// Decodes all segments of all texts, those of like length together, and hands each text over once
// it is whole. Throws Stopped after a signal; RunError for sound that is not a number; UsageError
// for noise with more than one segment.
void speak(Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts,
           const SpeakOptions& options, const Noise& noise,
           const std::function<void(size_t text, const SpokenText& spoken)>& deliver);

// RunError when a wave holds values that are not finite.
void check_wave(const Audio& audio, const std::string& where);

}  // namespace ttsft
