// From prepared rows to the two losses.
//
// Which hidden state predicts what (specification section 8; upstream's UnifiedVoice.forward and
// the community trainer's compute_losses):
//   - text: inputs start, t1 .. tn, stop; the state at input i predicts the next text token, the
//   last one (n) the stop; the state at the stop itself predicts nothing;
//   - codes: inputs start, c1 .. cm; the state at input k predicts code k + 1, the last one (m) the
//   stop. Upstream feeds the stop too, whose state nobody reads: it is left out here.
// The rows of a batch are padded on the right. (Upstream pads texts in the middle, where codes
// attend to the padding: an utterance's loss then depends on its neighbours.)
#pragma once

#include <torch/torch.h>

#include <span>
#include <vector>

#include "models/indextts2/modules.h"
#include "ttsft/model/stage.h"
#include "ttsft/nn/token_track.h"

namespace ttsft::indextts2 {

struct SpeechSample : Sample {
  std::vector<int64_t> text;   // without start and stop
  std::vector<int64_t> codes;  // likewise
  torch::Tensor condition;     // [L, D], float32, of another recording of the speaker
  torch::Tensor emotion;       // [D], float32
};

struct SpeechBatch : Batch {
  torch::Tensor condition, emotion;  // [B, L, D], [B, D], float32
  torch::Tensor prefix_at;           // [B * (L + 2)], flat index into [B * T]
  TokenTrack text, mel;

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

struct LossWeights {
  double text = 0.2, mel = 0.8;  // upstream's
};

class Objective {
 public:
  Objective(const GptConfig& config, LossWeights weights) : config_(config), weights_(weights) {}

  // Positions that a sample takes in a batch.
  int64_t length(const SpeechSample& sample) const;
  SpeechBatch collate(std::span<const SpeechSample* const> samples) const;

  // Inputs of the stack, [B, T, D]; padding is zero.
  torch::Tensor embed(UnifiedVoice& model, const SpeechBatch& batch) const;
  std::vector<LossTerm> loss(UnifiedVoice& model, const SpeechBatch& batch, bool accuracy) const;

 private:
  GptConfig config_;
  LossWeights weights_;
};

}  // namespace ttsft::indextts2
