// Text to sound, in parts: what a model says of its texts, its language model and its acoustic
// part. The engine owns the loop, the limits and the files.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ttsft/model/acoustic.h"
#include "ttsft/model/speech_lm.h"

namespace ttsft {

struct DecodeOptions {
  bool greedy = false;  // argmax after penalties and suppressions, sub-models too
  int64_t max_frames = 2048;
};

// How the segments of one text belong together, as upstream speaks them.
struct Speaking {
  bool chained = false;      // a segment's prompt holds what was said in the earlier ones
  bool whole_text = false;   // the codes of all segments are decoded at once, without pauses
  double pause_seconds = 0;  // silence between the waves of two segments
};

// One segment that was spoken.
struct SpokenSegment {
  std::string text;
  torch::Tensor codes;  // [F, C] or [F], int64, CPU: as heard() left them
  uint64_t seed = 0;
};

class Synthesizer {
 public:
  virtual ~Synthesizer() = default;

  // Pieces of a text that are spoken one by one, as the model's section of the run file asks.
  virtual std::vector<std::string> segments(const std::string& text) const = 0;
  virtual Speaking speaking() const { return {}; }
  // Rows that may be decoded together where synth.batch does not say.
  virtual int64_t max_batch() const { return tensor_options().device().is_cuda() ? 8 : 4; }

  // Reads what prompt() and language_model() need, which --codes-in does not, so that the time it
  // takes is not counted as decoding.
  virtual void load() = 0;

  virtual SpeechLm& language_model() = 0;
  virtual torch::TensorOptions tensor_options() const = 0;  // device and type of its inputs
  virtual DecodingPlan plan(const DecodeOptions& options) = 0;
  // earlier: the segments before this one, where they are chained. UsageError: a text that the
  // model has no places for.
  virtual RowPrompt prompt(const std::string& segment, uint64_t seed,
                           std::span<const SpokenSegment> earlier) = 0;
  // Recorded draws, as upstream calls and shapes them, under the streams of the decoding core.
  virtual RecordedDraws recorded(const Noise& noise) const { return noise; }
  // What of the generated codes the acoustic part gets. What it keeps of the first ones does not
  // depend on the later ones: a stream asks while they come.
  virtual torch::Tensor heard(const torch::Tensor& codes) const { return codes; }

  virtual AcousticDecoder& acoustic() = 0;
  // What is decoded for segments that the language model has spoken. Codes that stand alone
  // (--codes-in) go to the acoustic part as they are.
  virtual std::vector<AcousticRow> acoustic_rows(std::span<const SpokenSegment> segments);
};

}  // namespace ttsft
