// The decoding loop of T3. Source: chatterbox 0.1.7, models/t3/t3.py (inference) and tts.py
// (specification section 11).
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <vector>

#include "models/chatterbox/objective.h"
#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/sampling.h"

namespace ttsft::chatterbox {

struct GenerateOptions {
  SamplingOptions sampling;
  double repetition_penalty = 1.2;
  double cfg_weight = 0.5;   // 0: one row per text, at half the cost
  int64_t start_tokens = 2;  // upstream feeds START twice, both at learned position 0
  double exaggeration = 0.5;
  int64_t max_steps = 1000;
};

// What of generated ids the decoder gets: the codes behind a start (if one was said) and before the
// stop; ids that are no codes are left out. Source: models/s3tokenizer, drop_invalid_tokens.
torch::Tensor keep_codes(torch::Tensor tokens);

// Decodes a batch of texts in one voice. Rows are left-padded; each one's result is what it would
// be alone. With guidance every text has two rows: with its words, and with their places only.
class CodeGenerator {
 public:
  CodeGenerator(T3 t3, const T3Config& config, torch::Device device, torch::Dtype dtype);

  // texts: START .. STOP of each.
  void begin(const std::vector<std::vector<int64_t>>& texts, const Condition& condition,
             const std::vector<uint64_t>& seeds, const GenerateOptions& options);
  void step();
  torch::Tensor finished() const { return finished_; }  // [B], bool
  // Per text what the decoder gets, int64, CPU.
  std::vector<torch::Tensor> codes() const;
  // The same with every id that was generated, the stop too.
  std::vector<torch::Tensor> tokens() const;

  // Read out by the parity tests: logits before any processing, with guidance [2 B, V], the
  // conditioned rows first.
  const torch::Tensor& last_logits() const { return logits_; }

 private:
  std::vector<torch::Tensor> prompts(const std::vector<std::vector<int64_t>>& texts,
                                     const Condition& condition);  // [T_i, D] each
  void look(const torch::Tensor& output);
  torch::Tensor scores() const;  // [B, V]

  T3 t3_;
  T3Config config_;
  torch::TensorOptions tensor_options_;
  GenerateOptions options_;
  bool guided_ = false, out_of_places_ = false;
  std::vector<torch::Generator> generators_;
  std::optional<KvCache> cache_;
  torch::Tensor mask_;     // [R, 1, 1, capacity], bool; undefined when no row is padded
  torch::Tensor lengths_;  // [R], prompt lengths
  torch::Tensor logits_, seen_, finished_;
  torch::Tensor next_input_;           // [R, 1, D]; undefined before the first code
  std::vector<torch::Tensor> tokens_;  // [B] per step
  std::vector<torch::Tensor> ended_;   // [B] per step: the row had ended before this token
};

}  // namespace ttsft::chatterbox
