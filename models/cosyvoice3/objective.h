// From prepared rows to the loss of the language model.
//
// Which state predicts what (specification section 9.3; upstream's prepare_lm_input_target):
//   unistream  sos | instruct text | task c1 .. cm     task predicts c1, .., cm predicts eos
//   bistream   sos | instruct | t1 .. t5 c1 .. c15 | t6 .. t10 c16 .. | rest of the text, task,
//   rest
//              t5 predicts c1, .., c14 predicts c15, c15 predicts `fill`; the last block ends as
//              the unistream does. A block whose text is not full is the last.
// There is no further shift anywhere. Rows are padded on the right, which causal attention never
// sees.
#pragma once

#include <torch/torch.h>

#include <span>
#include <vector>

#include "models/cosyvoice3/modules.h"
#include "ttsft/model/stage.h"

namespace ttsft::cosyvoice3 {

struct SpeechSample : Sample {
  std::vector<int64_t> instruct, text;  // with and without the end of the prompt
  std::vector<int64_t> codes;
};

// One sequence: what goes in, and what each place predicts.
struct Layout {
  struct Input {
    bool speech = false;  // of the speech table, else of the text's
    int64_t id = 0;
  };
  static constexpr int64_t kNothing = -1;
  std::vector<Input> inputs;
  std::vector<int64_t> targets;  // as many; kNothing where none is asked
};

Layout unistream(const SpeechSample& sample, const LmConfig& config);
// Unistream where there is too little speech for the text, as upstream decides it.
Layout bistream(const SpeechSample& sample, const LmConfig& config, int64_t text_block,
                int64_t speech_block);

struct SpeechBatch : Batch {
  torch::Tensor text_ids, text_position;           // [P], flat index into [B * T]
  torch::Tensor speech_ids, speech_position;       // [Q]
  torch::Tensor label, label_position, label_row;  // [L]
  int64_t rows = 0, time = 0;

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

SpeechBatch collate(std::span<const SpeechSample* const> samples, std::span<const Layout> layouts);

torch::Tensor embed(Lm& lm, const SpeechBatch& batch);  // [B, T, D]; padding is zero
std::vector<LossTerm> speech_loss(Lm& lm, const SpeechBatch& batch, bool accuracy);

}  // namespace ttsft::cosyvoice3
