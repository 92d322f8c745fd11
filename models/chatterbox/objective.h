// From prepared clips to the two losses.
//
// Which hidden state predicts what (specification section 9.2; upstream's own T3.loss raises, and
// community trainers mask the first 150 codes, which leaves short clips without a label):
//   row     condition | START t1 .. tn STOP | START s1 .. sm
//   text    the state at START predicts t1, .., at tn predicts STOP       (n + 1 labels)
//   speech  the state at START predicts s1, .., at sm predicts STOP       (m + 1 labels)
// Rows are contiguous and padded on the right only, so that causal attention needs no mask and a
// row in a batch equals the row alone.
#pragma once

#include <torch/torch.h>

#include <span>
#include <string>
#include <vector>

#include "models/chatterbox/modules.h"
#include "models/chatterbox/options.h"
#include "ttsft/model/stage.h"
#include "ttsft/nn/token_track.h"

namespace ttsft::chatterbox {

// What T3 knows of a voice.
struct Condition {
  torch::Tensor speaker;  // [S], float32
  torch::Tensor prompt;   // [N], int64: codes of the reference
};

struct SpeechSample : Sample {
  torch::Tensor text;    // [n + 2], int64: START .. STOP
  torch::Tensor speech;  // [m + 2], int64: START .. STOP
  Condition condition;
};

struct SpeechBatch : Batch {
  torch::Tensor speaker;             // [B, S], float32
  torch::Tensor prompt;              // [B, N], int64
  torch::Tensor prompt_visible;      // [B, N], bool; undefined where all prompts are equally long
  torch::Tensor condition_position;  // [B * C], flat index into [B * T]
  TokenTrack text, speech;
  torch::Tensor text_shown;  // [Nt, 1], float32: 0 for hidden texts; undefined where none is
  int64_t rows = 0, time = 0;

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

class Objective {
 public:
  Objective(const T3Config& config, const Options& options);

  // Positions that a sample takes in a batch. The end of speech predicts nothing and is left out.
  int64_t length(const SpeechSample& sample) const;
  // hidden[i]: the text of row i is hidden (classifier-free guidance) and has no labels. Empty:
  // none.
  SpeechBatch collate(std::span<const SpeechSample* const> samples,
                      const std::vector<bool>& hidden = {}) const;

  torch::Tensor embed(T3& t3, const SpeechBatch& batch) const;  // [B, T, D]
  std::vector<LossTerm> loss(T3& t3, const SpeechBatch& batch, bool accuracy) const;

 private:
  T3Config config_;
  double exaggeration_, text_weight_, speech_weight_;
};

}  // namespace ttsft::chatterbox
