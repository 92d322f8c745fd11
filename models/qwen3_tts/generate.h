// Prompts, and the language model as the decoding core knows it. Source: qwen_tts 0.1.1,
// modeling_qwen3_tts.py, Qwen3TTSForConditionalGeneration.generate (specification section 9).
#pragma once

#include <torch/torch.h>

#include <optional>
#include <vector>

#include "models/qwen3_tts/modules.h"
#include "ttsft/model/depth_head.h"

namespace ttsft::qwen3_tts {

// What is said by whom. Id lists are those of TextFrontend.
struct PromptParts {
  std::vector<int64_t> role, text;
  std::vector<int64_t> instruct;        // empty: none
  std::vector<int64_t> reference_text;  // in-context clone
  torch::Tensor reference_codes;        // [F, 16]; undefined: no in-context reference
  torch::Tensor speaker;                // [H], in the model's type; undefined: none (voice design)
  int64_t language = -1;                // codec id; -1: auto
  bool text_streaming = false;
};

// Inputs of the prefill, and what is added to each frame's vector afterwards: the rest of the text
// where it streams, then tts_pad.
RowPrompt build_prompt(Talker& talker, const Config& config, const PromptParts& parts);

struct GenerateOptions {
  SamplingOptions talker, sub_talker;
  double repetition_penalty = 1.05;
  int64_t max_frames = 2048;
};
DecodingPlan decoding_plan(const Config& config, const GenerateOptions& options,
                           torch::Device device);

// The talker as the decoding core knows it; its frames are completed by the code predictor.
class TalkerLm : public SpeechLm, private DepthModel {
 public:
  TalkerLm(Talker talker, const Config& config, torch::TensorOptions options);
  void set_sub_talker(const SamplingOptions& sampling) {
    head_.emplace(static_cast<DepthModel&>(*this), sampling);
  }

  KvCache make_cache(int64_t rows, int64_t capacity) const override;
  torch::Tensor forward(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor norm(const torch::Tensor& hidden) override;
  torch::Tensor logits(const torch::Tensor& state) override;
  torch::Tensor embed(const torch::Tensor& frame, const torch::Tensor& number) override;
  FrameHead* head() override { return &head_.value(); }

 private:
  int64_t levels() const override;
  int64_t vocabulary() const override;
  KvCache make_cache(int64_t rows) const override;
  // Indices 0 and 1 go in together: the state, and the vector of the first code.
  torch::Tensor start(const torch::Tensor& state, const torch::Tensor& first) override;
  torch::Tensor embed(int64_t level, const torch::Tensor& codes) override;
  torch::Tensor depth(const torch::Tensor& x, KvCache& cache) override;
  torch::Tensor logits(int64_t level, const torch::Tensor& hidden) override;

  Talker talker_;
  Config config_;
  torch::TensorOptions options_;
  std::optional<DepthHead> head_;
};

}  // namespace ttsft::qwen3_tts
