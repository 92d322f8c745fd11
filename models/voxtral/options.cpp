#include "models/voxtral/options.h"

#include "ttsft/core/error.h"

namespace ttsft::voxtral {

void Options::bind(Binder& b) {
  b.choice("codes", codes, {"auto", "encoder", "invert", "none"},
           "prep: how recordings become codes. auto = by the encoder where there is one; invert = "
           "by gradient through the frozen decoder; none = not at all, for train.stage: encoder");
  b.field("encoder", encoder,
          "prep, train, synth: a voxtral_encoder.safetensors in place of the checkpoint's encoder");
  b.field("invert_steps", invert_steps,
          "prep, invert: steps of gradient for each window of 20 s; a third of them with codes "
          "that are rounded");
  b.field("invert_limit", invert_limit,
          "prep, invert: clips whose reconstruction error is above this are refused");
  b.field("silence_weight", silence_weight,
          "prep: weight of frames without speech in the loss; below 1, those of silences over 2 s "
          "count nothing");
  b.field("guidance_drop", guidance_drop,
          "train: share of frames whose flow does not see the state, so that guidance keeps "
          "working");
  b.field("acoustic_weight", acoustic_weight, "train, eval: weight of the flow's loss");
  b.field("synthetic_weight", synthetic_weight,
          "train, stage encoder: weight of the clips that the decoder itself has spoken, whose "
          "codes are known; 0 leaves them out");
  b.field("cfg_alpha", cfg_alpha, "synth: guidance of the flow; 1 = none");
  b.field("steps", steps, "synth: steps of the flow's solver; 0 = as params.json says, else 7");
  b.field("min_frames", min_frames, "synth: frames before the end may come; 0 = as upstream");
  b.field("segment_characters", segment_characters,
          "synth: longer texts are cut at the ends of sentences; all pieces hear the same voice");
}

void Options::validate() const {
  const auto refuse = [](bool wrong, const char* what) {
    if (wrong) throw UsageError(what);
  };
  refuse(invert_steps < 3, "invert_steps: must be 3 or more");
  refuse(invert_limit <= 0, "invert_limit: must be above 0");
  refuse(silence_weight < 0 || silence_weight > 1, "silence_weight: must be in [0, 1]");
  refuse(guidance_drop < 0 || guidance_drop >= 1, "guidance_drop: must be in [0, 1)");
  refuse(acoustic_weight < 0, "acoustic_weight: must be 0 or more");
  refuse(synthetic_weight < 0, "synthetic_weight: must be 0 or more");
  refuse(steps < 0, "steps: must be 0 or more");
  refuse(min_frames < 0, "min_frames: must be 0 or more");
  refuse(segment_characters < 1, "segment_characters: must be 1 or more");
}

}  // namespace ttsft::voxtral
