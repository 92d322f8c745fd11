// Prompts, the decoding loop and the second pass. Source: index-tts v2.0.0,
// indextts/gpt/model_v2.py (inference_speech, forward) and infer_v2.py (specification section 10).
#pragma once

#include <torch/torch.h>

#include <optional>
#include <vector>

#include "models/indextts2/modules.h"
#include "ttsft/nn/beam_search.h"
#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/sampling.h"

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
  int64_t max_codes = 1500;  // further limited by the position table
  MelPositions positions = MelPositions::kUpstream;
};

// Decodes a batch of prompts code by code, each with a search of `beams` beams. Prompts are padded
// on the left; each row's result is what it would be alone.
class CodeGenerator {
 public:
  CodeGenerator(UnifiedVoice model, const GptConfig& config, torch::Device device,
                torch::Dtype dtype);

  void begin(const std::vector<SpeechPrompt>& prompts, const std::vector<uint64_t>& seeds,
             const GenerateOptions& options);
  void step();                               // nothing more happens once the limit is reached
  torch::Tensor finished() const;            // [B], bool
  std::vector<torch::Tensor> codes() const;  // per row [n], int64, CPU, without the stop token

  // Read out by parity tests: logits of the next code before any processing, [B * beams, V].
  const torch::Tensor& last_logits() const { return logits_; }

 private:
  void look(const torch::Tensor& output);    // logits of the last position
  void search(const torch::Tensor& scores);  // one step of several beams
  void pick(const torch::Tensor& scores);    // one step of one beam

  UnifiedVoice model_;
  GptConfig config_;
  torch::TensorOptions tensor_options_;
  GenerateOptions options_;
  int64_t limit_ = 0, steps_ = 0, prompt_length_ = 0;
  std::vector<torch::Generator> generators_;
  std::optional<KvCache> cache_;
  std::optional<BeamSearch> beams_;
  torch::Tensor mask_;  // [B * N, 1, 1, capacity], bool; undefined when no row is padded
  torch::Tensor logits_, seen_, finished_;
  torch::Tensor last_codes_;          // [B * N] of the latest step
  std::vector<torch::Tensor> codes_;  // [B] per step, one beam
  std::vector<torch::Tensor> ended_;  // [B] bool per step: the row had ended with this code
};

// The second pass: states behind the norms that predict each code, from the whole sequence at once
// with training's positions. codes: per prompt [n], int64, any device. -> per prompt [n, D]; a
// prompt without codes gets [0, D].
std::vector<torch::Tensor> code_latents(UnifiedVoice& model, const GptConfig& config,
                                        const std::vector<SpeechPrompt>& prompts,
                                        const std::vector<torch::Tensor>& codes);

}  // namespace ttsft::indextts2
