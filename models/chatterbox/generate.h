// T3 as the decoding core knows it. Source: chatterbox 0.1.7, models/t3/t3.py (inference) and tts.py
// (specification section 11).
#pragma once

#include <torch/torch.h>

#include <vector>

#include "models/chatterbox/objective.h"
#include "ttsft/model/speech_lm.h"

namespace ttsft::chatterbox {

struct GenerateOptions {
  SamplingOptions sampling;
  double repetition_penalty = 1.2;
  double cfg_weight = 0.5;   // 0: one row per text, at half the cost
  int64_t max_steps = 1000;
};
DecodingPlan decoding_plan(const GenerateOptions& options);

// What of generated ids the decoder gets: the codes behind a start (if one was said) and before the
// stop; ids that are no codes are left out. Source: models/s3tokenizer, drop_invalid_tokens.
torch::Tensor keep_codes(torch::Tensor tokens);

// T3 as the decoding core knows it. With guidance every text has two rows: with its words, and with
// their places only.
class T3Lm : public SpeechLm {
 public:
  T3Lm(T3 t3, const T3Config& config, torch::TensorOptions options);

  // text: START .. STOP. start_tokens: upstream feeds START twice, both at learned position 0.
  RowPrompt prompt(const std::vector<int64_t>& text, const Condition& condition,
                   double exaggeration, int64_t start_tokens);

  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override;
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) override;
  int64_t most_frames() const override { return config_.max_speech_tokens; }

 private:
  T3 t3_;
  T3Config config_;
  torch::TensorOptions options_;
};

}  // namespace ttsft::chatterbox
