// The section `indextts2:` of a run file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/indextts2/text.h"
#include "ttsft/config/binder.h"

namespace ttsft::indextts2 {

struct Options : Section {
  // train and eval
  double text_weight = 0.2, mel_weight = 0.8;
  int64_t pairs = 2;
  std::filesystem::path extend_vocabulary;
  // text
  bool normalize = true, glossary = true;
  std::filesystem::path grammars;
  int64_t segment_tokens = 120, quick_tokens = 0;
  // synth
  std::string mel_positions = "upstream";  // upstream | training
  std::vector<double> emotion_vector;      // empty, or 8 shares
  std::filesystem::path emotion_reference;
  double emotion_alpha = 1.0;
  bool emotion_random = false;
  int64_t diffusion_steps = 25;
  double cfg_rate = 0.7, duration_factor = 1.0;
  // export
  std::string export_precision = "keep";  // keep | float32 | float16

  void bind(Binder& b) override;
  void validate() const override;

  TextOptions text() const;
  SegmentLimits segments() const { return {segment_tokens, quick_tokens}; }
};

}  // namespace ttsft::indextts2
