// Prompts and the decoding loop. Source: qwen_tts 0.1.1, modeling_qwen3_tts.py,
// Qwen3TTSForConditionalGeneration.generate (specification section 9).
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <vector>

#include "models/qwen3_tts/modules.h"
#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/sampling.h"

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

// Inputs of the prefill, and what is added to each frame's vector afterwards: trailing[g], then
// tts_pad.
struct PromptTensors {
  torch::Tensor prefill;   // [T, H]
  torch::Tensor trailing;  // [R, H], R >= 1
};
PromptTensors build_prompt(Talker& talker, const Config& config, const PromptParts& parts);

struct GenerateOptions {
  SamplingOptions talker, sub_talker;
  double repetition_penalty = 1.05;
  int64_t max_frames = 2048;
};

// Decodes a batch of prompts frame by frame. Prompts are left-padded; each row's result is what it
// would be alone.
class FrameGenerator {
 public:
  FrameGenerator(Talker talker, const Config& config, torch::Device device, torch::Dtype dtype);

  void begin(const std::vector<PromptTensors>& prompts, const std::vector<uint64_t>& seeds,
             const GenerateOptions& options);
  void step();
  torch::Tensor finished() const { return finished_; }  // [B], bool
  std::vector<torch::Tensor> codes() const;             // per row [F, 16], int64, CPU

  // Read out by the parity tests: logits of codebook 0 before any processing, and the hidden state
  // that made them.
  const torch::Tensor& last_logits() const { return logits_; }  // [B, V]
  const torch::Tensor& last_hidden() const { return hidden_; }  // [B, H]

 private:
  void look(const torch::Tensor& output);               // hidden and logits from a talker output
  torch::Tensor pick_first();                           // codebook 0, [B]
  torch::Tensor pick_rest(const torch::Tensor& first);  // all 16 codes, [B, 16]

  Talker talker_;
  Config config_;
  torch::TensorOptions tensor_options_;
  GenerateOptions options_;
  std::vector<torch::Generator> generators_;
  std::optional<KvCache> cache_, predictor_cache_;
  torch::Tensor suppressed_;  // [V], bool: ids that no step may choose
  torch::Tensor
      mask_;  // [B, 1, 1, capacity], bool: real positions; undefined when no row is padded
  torch::Tensor lengths_;         // [B], prompt lengths
  torch::Tensor trailing_, pad_;  // [B, R, H], [H]
  torch::Tensor hidden_, logits_, seen_, finished_;
  torch::Tensor next_input_;           // [B, 1, H]; undefined before the first frame
  std::vector<torch::Tensor> frames_;  // [B, 16] per step
  std::vector<torch::Tensor>
      ended_;  // [B] bool per step: the row had ended when this frame was made
};

}  // namespace ttsft::qwen3_tts
