// The pre-norm transformer block of Llama, Qwen and most speech codecs: one class with options, not
// one per model.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>

#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/rope.h"

namespace ttsft {

enum class NormKind { kRms, kLayer };
enum class MlpKind {
  kSwiGlu,  // down(silu(gate(x)) * up(x))
  kGelu,    // fc2(gelu(fc1(x))), exact gelu
};

struct BlockOptions {
  int64_t hidden = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double norm_eps = 1e-6;
  NormKind norm = NormKind::kRms;
  MlpKind mlp = MlpKind::kSwiGlu;
  bool qk_norm = false;      // RMSNorm over head_dim on q and k before the rotation (Qwen3)
  bool qkv_bias = false;     // Qwen2
  bool layer_scale = false;  // codecs
  int64_t window =
      0;  // 0: all earlier positions; n: key j is visible to query i when 0 <= i - j < n
};

// What a forward needs besides x.
struct AttentionContext {
  const Rope* rope = nullptr;
  torch::Tensor
      mask;  // bool, true = visible, broadcast to [B, heads, T, S]; undefined: plain causal
  KvCache* cache = nullptr;  // with a cache, x holds the new positions only
};

// Upstream member names are Hugging Face's: q_proj, k_proj, v_proj, o_proj, q_norm, k_norm.
class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const BlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const AttentionContext& context,
                        int64_t layer);  // [B, T, D]

 private:
  BlockOptions options_;
  Linear q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, o_proj{nullptr};
  RmsNorm q_norm{nullptr}, k_norm{nullptr};
};
TORCH_MODULE(Attention);

class MlpImpl : public torch::nn::Module {
 public:
  explicit MlpImpl(const BlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  MlpKind kind_;
  Linear gate_proj{nullptr}, up_proj{nullptr}, down_proj{nullptr}, fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(Mlp);

class DecoderBlockImpl : public torch::nn::Module {
 public:
  explicit DecoderBlockImpl(const BlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const AttentionContext& context,
                        int64_t layer);  // [B, T, D]

 private:
  torch::nn::AnyModule input_layernorm, post_attention_layernorm;
  Attention self_attn{nullptr};
  Mlp mlp{nullptr};
  LayerScale self_attn_layer_scale{nullptr}, mlp_layer_scale{nullptr};
};
TORCH_MODULE(DecoderBlock);

// A stack of blocks that shares one rotation. activation_checkpointing recomputes each block in the
// backward pass.
struct StackOptions {
  BlockOptions block;
  int64_t layers = 0;
  double rope_theta = 10000;
  std::optional<Llama3Scaling> rope_scaling;
};

class DecoderStackImpl : public torch::nn::Module {
 public:
  explicit DecoderStackImpl(const StackOptions& options);

  // positions [T] or [B, T]; undefined: 0.. or, with a cache, the ones that follow it.
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& positions = {},
                        const torch::Tensor& mask = {},
                        KvCache* cache = nullptr);  // [B, T, D]

  KvCache make_cache(int64_t batch, int64_t capacity, torch::TensorOptions options) const;
  void set_activation_checkpointing(bool on) { checkpointing_ = on; }
  const StackOptions& options() const { return options_; }
  DecoderBlock block(int64_t i) const { return blocks_[i]; }

 private:
  StackOptions options_;
  std::vector<DecoderBlock> blocks_;
  bool checkpointing_ = false;
};
TORCH_MODULE(DecoderStack);

}  // namespace ttsft
