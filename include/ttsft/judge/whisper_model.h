// Whisper (Radford et al. 2022, arXiv 2212.04356): an encoder that hears a
// window of log-mel, and a decoder that writes down what was said. Member names
// are Hugging Face's. Source: openai/whisper (MIT), whisper/model.py;
// transformers 5.24.0 (Apache-2.0), models/whisper/modeling_whisper.py.
#pragma once

#include <torch/torch.h>

#include <utility>
#include <vector>

#include "ttsft/nn/conv.h"
#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

struct WhisperOptions {
  int64_t width = 0; // d_model
  int64_t encoder_layers = 0, encoder_heads = 0, encoder_ffn = 0;
  int64_t decoder_layers = 0, decoder_heads = 0, decoder_ffn = 0;
  int64_t mels = 80;
  int64_t encoder_positions =
      1500; // of a window; one stands for two frames of mel, 20 ms
  int64_t decoder_positions = 448; // prompt and text
  int64_t vocabulary = 0;

  int64_t window_frames() const { return 2 * encoder_positions; } // 10 ms each
};

// Keys and values of what the encoder heard, made once per window for every
// layer of the decoder: each [B, H, S, d].
using WhisperHeard = std::vector<std::pair<torch::Tensor, torch::Tensor>>;

// Child names q_proj, k_proj (without bias), v_proj, out_proj.
class WhisperAttentionImpl : public torch::nn::Module {
public:
  WhisperAttentionImpl(int64_t width, int64_t heads);

  // Everything sees everything: the encoder's.
  torch::Tensor forward(const torch::Tensor &x); // [B, T, D]
  // Each position sees those before it, which lie in the cache.
  torch::Tensor causal(const torch::Tensor &x, KvCache &cache,
                       const KvCache::Step &step,
                       int64_t layer); // [R, T, D]

  // Looks at windows: row r of x at window r / (R / B), so that beams of a
  // window share its keys.
  std::pair<torch::Tensor, torch::Tensor>
  hear(const torch::Tensor &encoded); // [B, S, D]
  torch::Tensor
  look(const torch::Tensor &x,
       const std::pair<torch::Tensor, torch::Tensor> &heard); // [R, T, D]

private:
  torch::Tensor
  heads(const torch::Tensor &x) const; // [B, T, D] -> [B, H, T, d]

  int64_t heads_;
  Linear q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, out_proj{nullptr};
};
TORCH_MODULE(WhisperAttention);

class WhisperEncoderLayerImpl : public torch::nn::Module {
public:
  explicit WhisperEncoderLayerImpl(const WhisperOptions &options);
  torch::Tensor forward(const torch::Tensor &x); // [B, T, D]

private:
  WhisperAttention self_attn{nullptr};
  LayerNorm self_attn_layer_norm{nullptr}, final_layer_norm{nullptr};
  Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(WhisperEncoderLayer);

class WhisperEncoderImpl : public torch::nn::Module {
public:
  explicit WhisperEncoderImpl(const WhisperOptions &options);
  // Whole windows [B, mels, 2 S] -> [B, S, D]
  torch::Tensor forward(const torch::Tensor &log_mel);

private:
  Conv1d conv1{nullptr}, conv2{nullptr};
  Embedding embed_positions{nullptr};
  std::vector<WhisperEncoderLayer> layers_;
  LayerNorm layer_norm{nullptr};
};
TORCH_MODULE(WhisperEncoder);

class WhisperDecoderLayerImpl : public torch::nn::Module {
public:
  explicit WhisperDecoderLayerImpl(const WhisperOptions &options);
  torch::Tensor
  forward(const torch::Tensor &x, KvCache &cache, const KvCache::Step &step,
          int64_t layer,
          const std::pair<torch::Tensor, torch::Tensor> &heard); // [R, T, D]
  std::pair<torch::Tensor, torch::Tensor> hear(const torch::Tensor &encoded) {
    return encoder_attn->hear(encoded);
  }

private:
  WhisperAttention self_attn{nullptr}, encoder_attn{nullptr};
  LayerNorm self_attn_layer_norm{nullptr}, encoder_attn_layer_norm{nullptr},
      final_layer_norm{nullptr};
  Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(WhisperDecoderLayer);

class WhisperDecoderImpl : public torch::nn::Module {
public:
  explicit WhisperDecoderImpl(const WhisperOptions &options);

  WhisperHeard hear(const torch::Tensor &encoded); // [B, S, D]
  // The next tokens of each row, [R, T] int64, behind those in the cache, whose
  // rows are equally long -> states [R, T, D].
  torch::Tensor forward(const torch::Tensor &tokens, KvCache &cache,
                        const WhisperHeard &heard);
  torch::Tensor
  logits(const torch::Tensor &states); // [.., D] -> [.., V], float32
  KvCache make_cache(int64_t rows) const;

private:
  WhisperOptions options_;
  Embedding embed_tokens{nullptr}, embed_positions{nullptr};
  std::vector<WhisperDecoderLayer> layers_;
  LayerNorm layer_norm{nullptr};
};
TORCH_MODULE(WhisperDecoder);

// Names in a file: model.encoder..., model.decoder...; the output projection is
// the decoder's table of tokens.
class WhisperImpl : public torch::nn::Module {
public:
  explicit WhisperImpl(const WhisperOptions &options);
  const WhisperOptions &options() const { return options_; }
  WhisperEncoder encoder{nullptr};
  WhisperDecoder decoder{nullptr};

private:
  WhisperOptions options_;
};
TORCH_MODULE(Whisper);

} // namespace ttsft
