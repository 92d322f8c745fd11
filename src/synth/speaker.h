// Many segments through one decoding loop, and the putting together of what belongs to one text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"
#include "ttsft/model/frame_decoder.h"
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
  int64_t batch = 0;    // rows at once; 0: as the model says
  bool on_gpu = false;  // looks at what has ended seldom, for that waits for the device
};

// Decodes all segments of all texts and hands each text over once it is whole. Segments that have
// ended leave the batch and others come in. Throws Stopped after a signal; RunError for sound that
// is not a number; UsageError for noise with more than one segment. Out of memory: goes on with
// half the rows, down to one.
void speak(Synthesizer& synthesizer, const std::vector<TextToSpeak>& texts,
           const SpeakOptions& options, const Noise& noise,
           const std::function<void(size_t text, const SpokenText& spoken)>& deliver);

// The same for one text whose wave is handed over as it grows, silence between segments included.
// UsageError: the model's acoustic part needs all codes at once.
SpokenText speak_stream(Synthesizer& synthesizer, const TextToSpeak& text,
                        const SpeakOptions& options, const Noise& noise,
                        const std::function<void(const Audio& piece)>& deliver);

// [n] on the CPU -> samples.
Audio to_audio(const torch::Tensor& wave, int sample_rate);

// RunError when a wave holds values that are not finite.
void check_wave(const Audio& audio, const std::string& where);

// Warns of a segment without frames, and of one that was cut off at `limit` frames; `asked`: those
// that the user allows, of which a model may have no places for all.
void check_segment(const DecodedRow& row, const std::string& where, int64_t limit, int64_t asked);

// UsageError: recorded draws for more than one segment.
void check_noise(const Noise& noise, int64_t segments);

// Of a segment's draws: by its number within the text alone, so that a text sounds the same in any
// company.
uint64_t segment_seed(uint64_t seed, size_t index);

}  // namespace ttsft
