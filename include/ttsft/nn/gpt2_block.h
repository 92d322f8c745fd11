// The decoder of GPT-2 (Radford et al. 2019) under Hugging Face's names
// (transformers/models/gpt2/modeling_gpt2.py): h.{i}.{ln_1, attn.{c_attn, c_proj}, ln_2,
// mlp.{c_fc, c_proj}} and ln_f. Its linears are Conv1D: weights lie as [in, out]. Token and
// position tables are the caller's.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/kv_cache.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

struct Gpt2Options {
  int64_t layers = 0, hidden = 0, heads = 0;
  int64_t intermediate = 0;  // 0: 4 * hidden
  double norm_eps = 1e-5;
  // While training: of the stack's input, of attention probabilities, of what both branches add.
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;

  int64_t inner() const { return intermediate ? intermediate : 4 * hidden; }
};

// What a forward needs besides x.
struct Gpt2Context {
  torch::Tensor mask;        // bool, true = visible, broadcast to [B, H, T, S]
  bool causal = false;       // without a mask: each sees the ones before it
  KvCache* cache = nullptr;  // with a cache, x holds the new positions only
  const KvCache::Step* step = nullptr;
};

// c_attn yields q, k and v side by side.
class Gpt2AttentionImpl : public torch::nn::Module {
 public:
  explicit Gpt2AttentionImpl(const Gpt2Options& options);
  torch::Tensor forward(const torch::Tensor& x, const Gpt2Context& context,
                        int64_t layer);  // [B, T, D]

 private:
  Gpt2Options options_;
  Linear c_attn{nullptr}, c_proj{nullptr};
};
TORCH_MODULE(Gpt2Attention);

// c_proj(gelu(c_fc(x))), gelu in its tanh form ("gelu_new").
class Gpt2MlpImpl : public torch::nn::Module {
 public:
  explicit Gpt2MlpImpl(const Gpt2Options& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, T, D]

 private:
  Linear c_fc{nullptr}, c_proj{nullptr};
};
TORCH_MODULE(Gpt2Mlp);

class Gpt2BlockImpl : public torch::nn::Module {
 public:
  explicit Gpt2BlockImpl(const Gpt2Options& options);
  torch::Tensor forward(const torch::Tensor& x, const Gpt2Context& context,
                        int64_t layer);  // [B, T, D]

 private:
  double dropout_;
  LayerNorm ln_1{nullptr}, ln_2{nullptr};
  Gpt2Attention attn{nullptr};
  Gpt2Mlp mlp{nullptr};
};
TORCH_MODULE(Gpt2Block);

class Gpt2StackImpl : public torch::nn::Module, public Recomputing {
 public:
  explicit Gpt2StackImpl(const Gpt2Options& options);

  // Up to but without ln_f, so that only positions somebody reads need pass it.
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& mask = {},
                        KvCache* cache = nullptr);  // [B, T, D]

  KvCache make_cache(int64_t batch, int64_t capacity, torch::TensorOptions options) const;
  const Gpt2Options& options() const { return options_; }
  Gpt2Block block(int64_t i) const { return h_[static_cast<size_t>(i)]; }

  LayerNorm ln_f{nullptr};

 private:
  Gpt2Options options_;
  std::vector<Gpt2Block> h_;
};
TORCH_MODULE(Gpt2Stack);

}  // namespace ttsft
