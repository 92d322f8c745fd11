// The pre-norm transformer block of Llama, Qwen and most speech codecs: one class with options, not
// one per model.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <vector>

#include "ttsft/nn/checkpointing.h"
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
enum class QkNorm {
  kNone,
  kPerHead,  // RMSNorm over head_dim on q and k before the rotation (Qwen3)
  kWhole,    // over all heads side by side (Voxtral's codec)
};

// What upstream calls the members. Hugging Face's names unless a model says otherwise.
struct BlockNames {
  const char *q = "q_proj", *k = "k_proj", *v = "v_proj", *o = "o_proj";
  const char* qkv = nullptr;  // one projection in place of q, k and v, their rows in this order
  const char *gate = "gate_proj", *up = "up_proj", *down = "down_proj";
  const char *attention = "self_attn", *mlp = "mlp";
  const char *attention_norm = "input_layernorm", *mlp_norm = "post_attention_layernorm";
  const char *attention_scale = "self_attn_layer_scale", *mlp_scale = "mlp_layer_scale";
  // Of the two modules above; null: these are parameters of the block and no modules.
  const char* scale_parameter = "scale";
};

struct BlockOptions {
  int64_t hidden = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double norm_eps = 1e-6;
  double qk_norm_eps = 0;  // 0: norm_eps
  NormKind norm = NormKind::kRms;
  MlpKind mlp = MlpKind::kSwiGlu;
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;     // Qwen2
  bool layer_scale = false;  // codecs
  bool causal = true;
  // Attention with linear biases (Press et al. 2022) of slopes 2^(-8 h / heads), h from 0.
  bool alibi = false;
  // 0: all earlier positions; n: key j is visible to query i when 0 <= i - j < n
  int64_t window = 0;
  BlockNames names;
};

// Keys that lie far back are not looked at: time is cut into blocks of `size`, and each one sees
// itself and the one before it.
struct AttentionBand {
  int64_t size = 0;    // 0: none
  torch::Tensor mask;  // [blocks, 1 or heads, size, 2 size], bool or added to the scores
};

// What a forward needs besides x.
struct AttentionContext {
  const Rope* rope = nullptr;  // null: no rotation
  // Bool, true = visible, or what is added to the scores; broadcast to [B, heads, T, S].
  torch::Tensor mask;
  AttentionBand band;        // in place of a mask
  bool causal = false;       // without a mask: each sees the ones before it
  KvCache* cache = nullptr;  // with a cache, x holds the new positions only
  const KvCache::Step* step = nullptr;
};

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const BlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const AttentionContext& context,
                        int64_t layer);  // [B, T, D]

 private:
  // q [B, H, T, d], k and v [B, Hkv, S, d] -> [B, H, T, d]
  torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                       const AttentionContext& context) const;
  torch::Tensor attend_band(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                            const AttentionBand& band) const;

  BlockOptions options_;
  Linear q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, qkv{nullptr}, o_proj{nullptr};
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
  torch::Tensor scale(const char* name, const BlockOptions& options);

  torch::nn::AnyModule attention_norm_, mlp_norm_;
  Attention attention_{nullptr};
  Mlp mlp_{nullptr};
  torch::Tensor attention_scale_, mlp_scale_;  // [D], parameters; undefined: none
};
TORCH_MODULE(DecoderBlock);

// ALiBi's slopes as Voxtral's codec has them: the first is 1, not 2^(-8 / heads).
std::vector<double> alibi_slopes(int64_t heads);

// A stack of blocks that shares one rotation.
struct StackOptions {
  BlockOptions block;
  int64_t layers = 0;
  bool rotates = true;  // false: positions come from elsewhere (ALiBi)
  double rope_theta = 10000;
  RopeLayout rope_layout = RopeLayout::kHalves;
  bool rope_bf16_table = false;
  std::optional<Llama3Scaling> rope_scaling;

  // Around the blocks, as codecs have them. A language model norms the few states that it reads.
  int64_t outside = 0;               // width of x; 0: hidden, else projected in and out, with bias
  const char* final_norm = nullptr;  // name of a norm behind the last block
  const char *input_proj = "input_proj", *output_proj = "output_proj";
};

class DecoderStackImpl : public torch::nn::Module, public Recomputing {
 public:
  explicit DecoderStackImpl(const StackOptions& options);

  // positions [T] or [B, T]; undefined: 0.. or, with a cache, the ones that follow each row.
  // mask: bool, true = visible, broadcast to [B, heads, T, T]; undefined: as the options say. Not
  // with a cache, whose rows see what is theirs. D: hidden, or what is outside.
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& positions = {},
                        const torch::Tensor& mask = {},
                        KvCache* cache = nullptr);  // [B, T, D]

  KvCache make_cache(int64_t rows, int64_t capacity, torch::TensorOptions options) const;
  const StackOptions& options() const { return options_; }
  DecoderBlock block(int64_t i) const { return blocks_[i]; }

 private:
  torch::Tensor own_mask(int64_t time, const torch::Tensor& given,
                         torch::TensorOptions options) const;
  AttentionBand own_band(int64_t time, torch::TensorOptions options) const;
  torch::Tensor alibi_bias(const torch::Tensor& distance, const torch::Tensor& visible,
                           torch::TensorOptions options) const;

  StackOptions options_;
  RopeTable rope_;
  Linear input_proj_{nullptr}, output_proj_{nullptr};  // null: nothing is projected
  std::vector<DecoderBlock> blocks_;
  torch::nn::AnyModule final_norm_;  // empty: none
};
TORCH_MODULE(DecoderStack);

}  // namespace ttsft
