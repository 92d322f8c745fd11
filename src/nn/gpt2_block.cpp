#include "ttsft/nn/gpt2_block.h"

#include <stdexcept>


namespace ttsft {
namespace {

Linear conv1d(int64_t in, int64_t out, LinearRole role) {
  return Linear(LinearOptions{in, out, /*bias=*/true, LinearLayout::kInOut, role});
}

torch::Tensor drop(const torch::Tensor& x, double probability, bool training) {
  return training && probability > 0 ? torch::dropout(x, probability, true) : x;
}

}  // namespace

Gpt2AttentionImpl::Gpt2AttentionImpl(const Gpt2Options& options) : options_(options) {
  if (options.heads <= 0 || options.hidden % options.heads != 0)
    throw std::logic_error("Gpt2Attention: the heads do not divide the width");
  const int64_t hidden = options.hidden;
  c_attn = register_module("c_attn", conv1d(hidden, 3 * hidden, LinearRole::kAttention));
  c_proj = register_module("c_proj", conv1d(hidden, hidden, LinearRole::kAttention));
}

torch::Tensor Gpt2AttentionImpl::forward(const torch::Tensor& x, const Gpt2Context& context,
                                         int64_t layer) {
  const int64_t batch = x.size(0), time = x.size(1);
  const auto parts = c_attn(x)
                         .view({batch, time, 3, options_.heads, options_.hidden / options_.heads})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);  // 3 x [B, H, T, d]
  torch::Tensor q = parts[0], k = parts[1], v = parts[2];
  if (context.cache) std::tie(k, v) = context.cache->write(*context.step, layer, k, v);
  const torch::Tensor y = at::scaled_dot_product_attention(
      q, k, v, context.mask.defined() ? std::optional<torch::Tensor>(context.mask) : std::nullopt,
      is_training() ? options_.attention_dropout : 0.0, context.causal);
  return c_proj(y.transpose(1, 2).reshape({batch, time, options_.hidden}));
}

Gpt2MlpImpl::Gpt2MlpImpl(const Gpt2Options& options) {
  c_fc = register_module("c_fc", conv1d(options.hidden, options.inner(), LinearRole::kMlp));
  c_proj = register_module("c_proj", conv1d(options.inner(), options.hidden, LinearRole::kMlp));
}

torch::Tensor Gpt2MlpImpl::forward(const torch::Tensor& x) {
  return c_proj(torch::gelu(c_fc(x), "tanh"));
}

Gpt2BlockImpl::Gpt2BlockImpl(const Gpt2Options& options) : dropout_(options.residual_dropout) {
  ln_1 = register_module("ln_1", LayerNorm(options.hidden, options.norm_eps));
  attn = register_module("attn", Gpt2Attention(options));
  ln_2 = register_module("ln_2", LayerNorm(options.hidden, options.norm_eps));
  mlp = register_module("mlp", Gpt2Mlp(options));
}

torch::Tensor Gpt2BlockImpl::forward(const torch::Tensor& x, const Gpt2Context& context,
                                     int64_t layer) {
  const torch::Tensor y = x + drop(attn(ln_1(x), context, layer), dropout_, is_training());
  return y + drop(mlp(ln_2(y)), dropout_, is_training());
}

Gpt2StackImpl::Gpt2StackImpl(const Gpt2Options& options) : options_(options) {
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < options.layers; ++i) {
    h_.emplace_back(options);
    list->push_back(h_.back());
  }
  register_module("h", list);
  ln_f = register_module("ln_f", LayerNorm(options.hidden, options.norm_eps));
}

KvCache Gpt2StackImpl::make_cache(int64_t batch, int64_t capacity,
                                  torch::TensorOptions options) const {
  return KvCache(options_.layers, batch, options_.heads, capacity, options_.hidden / options_.heads,
                 options);
}

torch::Tensor Gpt2StackImpl::forward(torch::Tensor x, const torch::Tensor& mask, KvCache* cache) {
  const int64_t time = x.size(1);
  Gpt2Context context;
  KvCache::Step step;
  if (cache) {
    if (mask.defined()) throw std::logic_error("Gpt2Stack: rows of a cache see what is theirs");
    step = cache->open(time);
    context = {step.mask, step.causal, cache, &step};
  } else {
    context = {mask, !mask.defined() && time > 1};
  }
  const bool recompute = recomputes() && !cache;
  x = drop(x, options_.embedding_dropout, is_training());
  for (int64_t i = 0; i < options_.layers; ++i) {
    if (!recompute) {
      x = block(i)(x, context, i);
      continue;
    }
    auto piece = [block = block(i), context, i](const torch::Tensor& h) mutable {
      return block(h, context, i);
    };
    x = checkpoint(piece, x);
  }
  if (cache) cache->advance(time);
  return x;
}

}  // namespace ttsft
