// The section `voxtral:` of a run file.
#pragma once

#include <filesystem>
#include <string>

#include "ttsft/config/binder.h"

namespace ttsft::voxtral {

struct Options : Section {
  // prep
  std::string codes = "auto";     // auto | encoder | invert | none
  std::filesystem::path encoder;  // of another file than the checkpoint's
  int64_t invert_steps = 600;
  double invert_limit = 0.35;
  double silence_weight = 1.0;
  // train and eval
  double guidance_drop = 0.1;
  double acoustic_weight = 1.0;
  // train, stage encoder
  double synthetic_weight = 1.0;
  // synth
  double cfg_alpha = 1.2;
  int64_t steps = 0;  // of the flow; 0: as params.json says, else 7
  int64_t min_frames = 1;
  int64_t segment_characters = 1000;

  void bind(Binder& b) override;
  void validate() const override;
};

}  // namespace ttsft::voxtral
