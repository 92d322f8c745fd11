// The language model of CosyVoice 3: text and speech through one Qwen2.
//   sos | text | task | speech codes .. -> the next code .. eos
// Source: cosyvoice/llm/llm.py (CosyVoice3LM). Member names are those in llm.pt below "llm.model."
// (Qwen2ForCausalLM), beside the two speech tables, which stand at its top.
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>

#include "models/cosyvoice3/config.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft::cosyvoice3 {

// Hugging Face's Qwen2Model.
class Qwen2Impl : public DecoderStackImpl {
 public:
  explicit Qwen2Impl(const LmConfig& config);
  Embedding embed_tokens{nullptr};
  RmsNorm norm{nullptr};
};
TORCH_MODULE(Qwen2);

// Child names: model, speech_embedding, llm_decoder. PEFT's names begin at `model`: upstream's
// adapters wrap the Qwen2 alone.
class LmImpl : public torch::nn::Module {
 public:
  explicit LmImpl(const LmConfig& config);
  torch::Tensor text(const torch::Tensor& ids) { return model->embed_tokens(ids); }
  torch::Tensor speech(const torch::Tensor& ids) { return speech_embedding(ids); }
  torch::Tensor logits(const torch::Tensor& states) { return llm_decoder(model->norm(states)); }

  Qwen2 model{nullptr};
  Embedding speech_embedding{nullptr};
  Linear llm_decoder{nullptr};
};
TORCH_MODULE(Lm);

// The name in llm.pt of a parameter of Lm.
std::string llm_name(const std::string& parameter);

// llm.pt or llm.rl.pt; the text head, which is tied to the text table and never used, stays in the
// file.
Lm load_lm(const std::shared_ptr<const TensorFile>& llm, const LmConfig& config,
           torch::Device device, torch::Dtype dtype);

}  // namespace ttsft::cosyvoice3
