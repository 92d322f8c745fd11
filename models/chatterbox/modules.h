// T3, the language model of Chatterbox: condition | text | speech through one Llama, with learned
// positions of their own for text and speech beside the rotation over the whole sequence.
// Source: chatterbox 0.1.7, models/t3/t3.py, modules/cond_enc.py, modules/perceiver.py,
// modules/learned_pos_emb.py. Member names are the names in t3_cfg.safetensors.
#pragma once

#include <torch/torch.h>

#include "models/chatterbox/config.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/learned_positions.h"
#include "ttsft/nn/linear.h"

namespace ttsft::chatterbox {

// cond_enc.perceiver.attn: one block that serves twice, x1 + proj_out(attention(norm x1, norm x2)).
class PerceiverAttentionImpl : public torch::nn::Module {
 public:
  explicit PerceiverAttentionImpl(int64_t dim);
  // queries [B, Q, D], keys [B, N, D], visible [B, N] bool or undefined (all)
  torch::Tensor forward(const torch::Tensor& queries, const torch::Tensor& keys,
                        const torch::Tensor& visible = {});  // [B, Q, D]

 private:
  LayerNorm norm{nullptr};
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr}, proj_out{nullptr};
};
TORCH_MODULE(PerceiverAttention);

// cond_enc.perceiver: the prompt's vectors, however many, into a fixed number.
class PerceiverImpl : public torch::nn::Module {
 public:
  PerceiverImpl(int64_t queries, int64_t dim);
  torch::Tensor forward(const torch::Tensor& prompt, const torch::Tensor& visible);  // [B, Q, D]
  torch::Tensor pre_attention_query;                                                 // [1, Q, D]

 private:
  PerceiverAttention attn{nullptr};
};
TORCH_MODULE(Perceiver);

class ConditionEncoderImpl : public torch::nn::Module {
 public:
  explicit ConditionEncoderImpl(const T3Config& config);
  // speaker [B, S], prompt vectors [B, N, D] with visible [B, N], emotion [B, 1]
  torch::Tensor forward(const torch::Tensor& speaker, const torch::Tensor& prompt,
                        const torch::Tensor& visible,
                        const torch::Tensor& emotion);  // [B, 1 + Q + 1, D]

 private:
  Linear spkr_enc{nullptr}, emotion_adv_fc{nullptr};
  Perceiver perceiver{nullptr};
};
TORCH_MODULE(ConditionEncoder);

// tfmr: Hugging Face's LlamaModel. Its embed_tokens is never read, but a part of the file.
class LlamaImpl : public DecoderStackImpl {
 public:
  explicit LlamaImpl(const T3Config& config);
  Embedding embed_tokens{nullptr};
  RmsNorm norm{nullptr};
};
TORCH_MODULE(Llama);

class T3Impl : public torch::nn::Module {
 public:
  explicit T3Impl(const T3Config& config);

  // Vectors of the condition: speaker [B, S], prompt codes [B, N] int64 of which `visible` [B, N]
  // are real (undefined: all), emotion (exaggeration) [B, 1].
  torch::Tensor condition(const torch::Tensor& speaker, const torch::Tensor& prompt,
                          const torch::Tensor& visible,
                          const torch::Tensor& emotion);  // [B, C, D]
  // Ids and their positions of the same shape; -> [..., D]. Both count from 0.
  torch::Tensor text(const torch::Tensor& ids, const torch::Tensor& positions) {
    return text_emb(ids) + text_pos_emb(positions);
  }
  torch::Tensor speech(const torch::Tensor& codes, const torch::Tensor& positions) {
    return speech_emb(codes) + speech_pos_emb(positions);
  }

  Llama tfmr{nullptr};
  ConditionEncoder cond_enc{nullptr};
  Embedding text_emb{nullptr}, speech_emb{nullptr};
  LearnedPositions text_pos_emb{nullptr}, speech_pos_emb{nullptr};
  Linear text_head{nullptr}, speech_head{nullptr};
};
TORCH_MODULE(T3);

}  // namespace ttsft::chatterbox
