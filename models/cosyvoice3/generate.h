// The language model as the decoding core knows it. Upstream: cosyvoice/llm/llm.py (inference),
// utils/common.py (ras_sampling).
#pragma once

#include <vector>

#include "models/cosyvoice3/modules.h"
#include "ttsft/model/speech_lm.h"

namespace ttsft::cosyvoice3 {

// What a text is spoken behind.
struct LmPrompt {
  std::vector<int64_t> text;   // of the prompt
  std::vector<int64_t> codes;  // of the prompt; empty: it is not heard
};

// Codes that a token of text has.
struct LengthLimits {
  double least, most;
};

class SpeechModel : public SpeechLm {
 public:
  SpeechModel(Lm lm, const LmConfig& config, LengthLimits limits, torch::TensorOptions options)
      : lm_(std::move(lm)), config_(config), limits_(limits), options_(options) {}

  // sos | prompt text, text | task | prompt codes. The limits count the text's own tokens.
  RowPrompt prompt(const LmPrompt& prompt, const std::vector<int64_t>& text);

  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override { return lm_->model->norm(hidden); }
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor&) override {
    return lm_->speech(frame.squeeze(1));
  }

 private:
  Lm lm_;
  LmConfig config_;
  LengthLimits limits_;
  torch::TensorOptions options_;
};

// Every id behind the codes ends a row. (Upstream lets one of them through before the least length:
// it bans the first id behind the codes alone.)
DecodingPlan decoding_plan(const LmConfig& config, const RasConfig& ras, bool greedy,
                           int64_t max_codes, torch::Device device);

// Codes of silence beyond five in a row are left out of what is heard.
torch::Tensor without_long_silence(const torch::Tensor& codes);

}  // namespace ttsft::cosyvoice3
