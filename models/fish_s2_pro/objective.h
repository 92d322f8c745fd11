// From prepared rows to the two losses.
//
// Which state predicts what (specification section 7.1; upstream's datasets/semantic.py and
// lit_module.py without their faults): the state at column t of the slow decoder predicts the token
// of column t + 1, where that is a frame's or ends the message; where it is a frame's, the state
// behind the norm is the first input of the fast decoder, whose k-th output predicts code k of that
// frame. So the first code is learned twice. No further shift anywhere.
#pragma once

#include <torch/torch.h>

#include <span>
#include <vector>

#include "models/fish_s2_pro/modules.h"
#include "models/fish_s2_pro/prompt.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::fish_s2_pro {

struct SpeechSample : Sample {
  std::vector<int64_t> tokens;  // of all columns, [N]
  int64_t first_frame = 0;      // column of the first frame; the others follow
  torch::Tensor codes;          // [F, 10], int16
};

struct SpeechBatch : Batch {
  int64_t rows = 0, time = 0;
  torch::Tensor text_position, text_ids;           // [P], flat index into [B * T]
  torch::Tensor frame_position, frame_tokens;      // [Q], of the frames that are heard
  torch::Tensor frame_codes;                       // [Q, 10]
  torch::Tensor label_position, label, label_row;  // [L]
  torch::Tensor frame_label;                       // [F], which label a frame is
  torch::Tensor target_codes, target_row;          // [F, 10], [F]

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

struct ObjectiveOptions {
  bool scaled = true;        // frames' vectors over sqrt(11)
  bool adapted_head = true;  // the head sees the table with its adapter
};

class Objective {
 public:
  explicit Objective(const ObjectiveOptions& options) : options_(options) {}

  SpeechBatch collate(std::span<const SpeechSample* const> samples) const;
  torch::Tensor embed(DualAr& model, const SpeechBatch& batch) const;  // [B, T, D]
  std::vector<LossTerm> loss(DualAr& model, const SpeechBatch& batch, bool accuracy) const;
  // Of the fast decoder at all frames: logits [F, 10, V] and the codes they should name.
  Probe depth_probe(DualAr& model, const SpeechBatch& batch) const;
  // The tied head: [vocabulary, D].
  torch::Tensor head(DualAr& model) const;

 private:
  torch::Tensor predicting(DualAr& model, const SpeechBatch& batch) const;  // [L, D]

  ObjectiveOptions options_;
};

}  // namespace ttsft::fish_s2_pro
