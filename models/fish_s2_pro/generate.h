// The two decoders as the decoding core knows them. Its tokens are those that may be chosen: the
// codes of the first level under their own numbers, and behind them the end of the message; of the
// other 151 thousand no score is computed. Upstream: fish_speech/models/text2semantic/inference.py.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <span>

#include "models/fish_s2_pro/modules.h"
#include "models/fish_s2_pro/prompt.h"
#include "models/fish_s2_pro/text.h"
#include "ttsft/model/acoustic.h"
#include "ttsft/model/depth_head.h"

namespace ttsft::fish_s2_pro {

// Upstream's sampler: top-p and top-k look at probabilities before the temperature, and what
// crosses top_p is left out.
SamplingOptions fish_sampling(double temperature, double top_p, int64_t top_k);

// A first code that stands among the latest ten is drawn again at temperature 1 and top_p 0.9. The
// first token of a text is not remembered, as upstream's is not.
DecodingPlan decoding_plan(const SamplingOptions& sampling, int64_t codes, int64_t max_frames);

// Draws as upstream makes them: uniform_slow_normal and uniform_slow_high [F, vocabulary],
// uniform_fast [F, 9, 4096]. DataError: another name or shape.
RecordedDraws recorded_draws(const Noise& noise, const Tokenizer& tokenizer, const Config& config);

class DualArLm : public SpeechLm, private DepthModel {
 public:
  DualArLm(DualAr model, const Tokenizer& tokenizer, torch::TensorOptions options);
  void set_sampling(const SamplingOptions& sampling) {
    head_.emplace(static_cast<DepthModel&>(*this), sampling);
  }

  // Vectors of columns [T, D]. UsageError: the model has no place for them and an answer.
  RowPrompt prompt(const Columns& columns, const std::string& segment);

  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override { return model_->norm(hidden); }
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) override;
  FrameHead* head() override { return &head_.value(); }

 private:
  const Config& config() const { return model_->config(); }
  int64_t levels() const override { return config().codebooks; }
  int64_t vocabulary() const override { return config().codebook_size; }
  KvCache make_cache(int64_t rows) const override;
  // Positions 0 and 1 go in together: the state, and the vector of the first code.
  torch::Tensor start(const torch::Tensor& state, const torch::Tensor& first) override;
  torch::Tensor embed(int64_t level, const torch::Tensor& codes) override;
  torch::Tensor depth(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor logits(int64_t level, const torch::Tensor& hidden) override;

  DualAr model_;
  int64_t semantic_begin_;
  torch::TensorOptions options_;
  torch::Tensor head_rows_;  // of the tied table, [codes + 1, D]
  std::optional<DepthHead> head_;
};

}  // namespace ttsft::fish_s2_pro
