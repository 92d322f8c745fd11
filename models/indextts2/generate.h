// Prompts, the language model as the decoding core knows it, and the second pass. Source: index-tts v2.0.0,
// indextts/gpt/model_v2.py (inference_speech, forward) and infer_v2.py (specification section 10).
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <vector>

#include "models/indextts2/modules.h"
#include "ttsft/model/speech_lm.h"

namespace ttsft::indextts2 {

// Row of the position table that the k-th generated code (k = 0, 1, ...) is fed with.
enum class MelPositions {
  kUpstream,  // k + 2: upstream's inference skips row 1, and its release is used that way
  kTraining,  // k + 1
};

// One segment to speak.
struct SpeechPrompt {
  torch::Tensor condition;    // [L, D]
  torch::Tensor emotion;      // [D]
  std::vector<int64_t> text;  // ids; start and stop tokens inside are dropped, as upstream does
};

// Inputs of the prefill without the start token of the codes: latents, speeds, start, text, stop.
torch::Tensor prompt_inputs(UnifiedVoice& model, const GptConfig& config,
                            const SpeechPrompt& prompt);  // [P, D]

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t beams = 1;
  double repetition_penalty = 10.0, length_penalty = 0.0;
  int64_t max_codes = 1500;
};
DecodingPlan decoding_plan(const GptConfig& config, const GenerateOptions& options);

// The GPT as the decoding core knows it.
class GptLm : public SpeechLm {
 public:
  GptLm(UnifiedVoice model, const GptConfig& config, torch::TensorOptions options,
        MelPositions positions);

  RowPrompt prompt(const SpeechPrompt& prompt);

  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override;
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) override;
  // The last code is never fed, and row k + 2 must exist for those that are.
  int64_t most_frames() const override {
    return std::min(config_.max_mel_tokens, config_.mel_positions - 1);
  }

 private:
  UnifiedVoice model_;
  GptConfig config_;
  torch::TensorOptions options_;
  MelPositions positions_;
};

// The second pass: states behind the norms that predict each code, from the whole sequence at once
// with training's positions. codes: per prompt [n], int64, any device. -> per prompt [n, D]; a
// prompt without codes gets [0, D].
std::vector<torch::Tensor> code_latents(UnifiedVoice& model, const GptConfig& config,
                                        const std::vector<SpeechPrompt>& prompts,
                                        const std::vector<torch::Tensor>& codes);

}  // namespace ttsft::indextts2
