// From prepared rows to the two losses. Mistral has published no training code: this is our reading
// of the paper and of the serving code (specification section 8).
//
// Which state predicts what:
//   input     <s> [BEGIN_AUDIO] voice rows [NEXT] text [REPEAT] [BEGIN_AUDIO] frame 0 .. frame T-1
//   predicts                                                    frame 0       frame 1 .. END_AUDIO
// T + 1 states behind the last norm predict the semantic code of the next frame, the last one the
// end; those T that stand before a frame are also what the frame's flow is conditioned on:
//   x_t = (1 - (1 - s) t) x0 + t x1, u = x1 - (1 - s) x0, s = 1e-5; x0 noise, x1 the 36 values,
// of an own t for every frame. No further shift anywhere.
#pragma once

#include <torch/torch.h>

#include <span>
#include <vector>

#include "models/voxtral/modules.h"
#include "models/voxtral/text.h"
#include "ttsft/model/draw.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::voxtral {

// The rows of whose voice is heard: codes of a recording, or what the release holds of a preset.
struct VoiceRows {
  torch::Tensor codes;  // [N, 37] codes, without the row that ends them; or undefined:
  torch::Tensor rows;   // [N, D], the last one included

  bool known() const { return codes.defined() || rows.defined(); }
  int64_t size() const { return codes.defined() ? codes.size(0) + 1 : rows.size(0); }
};

struct SpeechSample : Sample {
  std::vector<int64_t> text;
  torch::Tensor codes;   // [T, 37], int16
  torch::Tensor weight;  // [T], float32: what each frame counts; undefined: 1
  VoiceRows voice;       // not known: drawn when a batch is made
  std::string speaker;
};

struct SpeechBatch : Batch {
  int64_t rows = 0, time = 0;
  torch::Tensor text_position, text_ids;       // [P], flat index into [B * T]
  torch::Tensor given_position, given_rows;    // [G], [G, D]: of presets
  torch::Tensor frame_position, frame_tokens;  // [Q], [Q, 37]: of recordings, and what was said
  torch::Tensor label_position, label, label_row, label_weight;  // [L]
  torch::Tensor frame_label, frame_row, frame_weight;            // [F]: which label a frame is
  torch::Tensor x0, x1;                                          // [F, 36]
  torch::Tensor t, heard;  // [F], [F, 1]: 0 where the state is hidden from the flow

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

class Objective {
 public:
  Objective(const Config& config, const Prompt& prompt, double guidance_drop,
            double acoustic_weight)
      : config_(config),
        prompt_(prompt),
        guidance_drop_(guidance_drop),
        acoustic_weight_(acoustic_weight) {}

  // Draws of an utterance: x0 [T, 36] normal, t [T] in [0, 1) and drop [T], 1 where the state is
  // hidden. In evaluation the times stand on a grid, and nothing is hidden.
  SpeechBatch collate(std::span<const SpeechSample* const> samples,
                      std::span<const VoiceRows> voices, const Draw& draw) const;
  torch::Tensor embed(Lm& lm, const SpeechBatch& batch) const;  // [B, T, D]
  std::vector<LossTerm> loss(Lm& lm, const SpeechBatch& batch, bool accuracy) const;
  // Behind the norm, in the order of the labels: [L, D]
  torch::Tensor predicting(Lm& lm, const SpeechBatch& batch) const;
  // Of the flow where the states are given: [F, 36].
  torch::Tensor velocity(Lm& lm, const torch::Tensor& states, const SpeechBatch& batch) const;

 private:
  LossTerm acoustic(Lm& lm, const torch::Tensor& states, const SpeechBatch& batch) const;

  Config config_;
  Prompt prompt_;
  double guidance_drop_, acoustic_weight_;
};

}  // namespace ttsft::voxtral
