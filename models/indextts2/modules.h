// The language model of IndexTTS2: a GPT-2 that reads a speaker's latents, a text and semantic
// codes (50 per second), and predicts the codes.
//
// Source: index-tts v2.0.0, indextts/gpt/model_v2.py (UnifiedVoice). Odd choices worth knowing:
//   - a sequence is latents | two speed vectors | text | codes; text and codes have a position
//   table each, and both count from 0;
//   - two layer norms stand behind the stack: GPT-2's ln_f and final_norm;
//   - both heads have a bias, and no table is tied to a head.
#pragma once

#include <torch/torch.h>

#include "models/indextts2/config.h"
#include "ttsft/nn/gpt2_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/learned_positions.h"
#include "ttsft/nn/linear.h"

namespace ttsft::indextts2 {

// Everything but the encoders (conditioner.h), under the names of gpt.pth: the set that training
// changes.
class UnifiedVoiceImpl : public torch::nn::Module {
 public:
  // dropout: of GPT-2's input, attention and branches, while training.
  UnifiedVoiceImpl(const GptConfig& config, double dropout);

  // What stands before the text. condition [B, L, D], emotion [B, D] -> [B, L + 2, D]
  torch::Tensor prefix(const torch::Tensor& condition, const torch::Tensor& emotion);
  // ids and positions of one shape [...] -> [..., D]; the ids include start and stop tokens.
  torch::Tensor text(const torch::Tensor& ids, const torch::Tensor& positions) {
    return text_embedding(ids) + text_pos_embedding(positions);
  }
  torch::Tensor mel(const torch::Tensor& codes, const torch::Tensor& positions) {
    return mel_embedding(codes) + mel_pos_embedding(positions);
  }
  // Behind the stack, before a head: final_norm(ln_f(hidden)).
  torch::Tensor norm(const torch::Tensor& hidden) { return final_norm(gpt->ln_f(hidden)); }

  Gpt2Stack gpt{nullptr};
  Embedding text_embedding{nullptr}, mel_embedding{nullptr}, speed_emb{nullptr};
  LearnedPositions text_pos_embedding{nullptr}, mel_pos_embedding{nullptr};
  LayerNorm final_norm{nullptr};
  Linear text_head{nullptr}, mel_head{nullptr};
};
TORCH_MODULE(UnifiedVoice);

}  // namespace ttsft::indextts2
