#include "ttsft/nn/decoder_block.h"

#include "ttsft/nn/checkpointing.h"

namespace ttsft {

AttentionImpl::AttentionImpl(const BlockOptions& o) : options_(o) {
  const auto projection = [&](int64_t in, int64_t out, bool bias) {
    return Linear(LinearOptions{in, out, bias, LinearLayout::kOutIn, LinearRole::kAttention});
  };
  q_proj = register_module("q_proj", projection(o.hidden, o.heads * o.head_dim, o.qkv_bias));
  k_proj = register_module("k_proj", projection(o.hidden, o.kv_heads * o.head_dim, o.qkv_bias));
  v_proj = register_module("v_proj", projection(o.hidden, o.kv_heads * o.head_dim, o.qkv_bias));
  o_proj = register_module("o_proj", projection(o.heads * o.head_dim, o.hidden, false));
  if (o.qk_norm) {
    q_norm = register_module("q_norm", RmsNorm(o.head_dim, o.norm_eps));
    k_norm = register_module("k_norm", RmsNorm(o.head_dim, o.norm_eps));
  }
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x, const AttentionContext& context,
                                     int64_t layer) {
  const int64_t batch = x.size(0), time = x.size(1), d = options_.head_dim;
  torch::Tensor q = q_proj(x).view({batch, time, options_.heads, d});     // [B, T, H, d]
  torch::Tensor k = k_proj(x).view({batch, time, options_.kv_heads, d});  // [B, T, Hkv, d]
  torch::Tensor v = v_proj(x).view({batch, time, options_.kv_heads, d}).transpose(1, 2);
  if (options_.qk_norm) {
    q = q_norm(q);
    k = k_norm(k);
  }
  q = apply_rope(q.transpose(1, 2), *context.rope);  // [B, H, T, d]
  k = apply_rope(k.transpose(1, 2), *context.rope);
  if (context.cache) std::tie(k, v) = context.cache->append(layer, k, v);

  // Without a mask: causal when x starts the sequence; a single new position sees all that is
  // stored.
  const bool causal = !context.mask.defined() && k.size(2) == time && time > 1;
  const bool grouped = options_.heads != options_.kv_heads;
  torch::Tensor y = at::scaled_dot_product_attention(
      q, k, v, context.mask.defined() ? std::optional<torch::Tensor>(context.mask) : std::nullopt,
      /*dropout_p=*/0.0, causal, /*scale=*/std::nullopt, grouped);
  y = y.transpose(1, 2).reshape({batch, time, options_.heads * d});  // [B, T, H * d]
  return o_proj(y);
}

MlpImpl::MlpImpl(const BlockOptions& o) : kind_(o.mlp) {
  const bool bias = false;
  const auto layer = [&](int64_t in, int64_t out) {
    return Linear(LinearOptions{in, out, bias, LinearLayout::kOutIn, LinearRole::kMlp});
  };
  if (kind_ == MlpKind::kSwiGlu) {
    gate_proj = register_module("gate_proj", layer(o.hidden, o.intermediate));
    up_proj = register_module("up_proj", layer(o.hidden, o.intermediate));
    down_proj = register_module("down_proj", layer(o.intermediate, o.hidden));
  } else {
    fc1 = register_module("fc1", layer(o.hidden, o.intermediate));
    fc2 = register_module("fc2", layer(o.intermediate, o.hidden));
  }
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x) {
  if (kind_ == MlpKind::kSwiGlu) return down_proj(torch::silu(gate_proj(x)) * up_proj(x));
  return fc2(torch::gelu(fc1(x)));
}

namespace {

torch::nn::AnyModule make_norm(const BlockOptions& o) {
  return o.norm == NormKind::kRms ? torch::nn::AnyModule(RmsNorm(o.hidden, o.norm_eps))
                                  : torch::nn::AnyModule(LayerNorm(o.hidden, o.norm_eps));
}

}  // namespace

DecoderBlockImpl::DecoderBlockImpl(const BlockOptions& o)
    : input_layernorm(make_norm(o)), post_attention_layernorm(make_norm(o)) {
  register_module("input_layernorm", input_layernorm.ptr());
  self_attn = register_module("self_attn", Attention(o));
  register_module("post_attention_layernorm", post_attention_layernorm.ptr());
  mlp = register_module("mlp", Mlp(o));
  if (o.layer_scale) {
    self_attn_layer_scale = register_module("self_attn_layer_scale", LayerScale(o.hidden));
    mlp_layer_scale = register_module("mlp_layer_scale", LayerScale(o.hidden));
  }
}

torch::Tensor DecoderBlockImpl::forward(const torch::Tensor& x, const AttentionContext& context,
                                        int64_t layer) {
  torch::Tensor attended = self_attn(input_layernorm.forward(x), context, layer);
  if (self_attn_layer_scale) attended = self_attn_layer_scale(attended);
  const torch::Tensor h = x + attended;
  torch::Tensor expanded = mlp(post_attention_layernorm.forward(h));
  if (mlp_layer_scale) expanded = mlp_layer_scale(expanded);
  return h + expanded;
}

DecoderStackImpl::DecoderStackImpl(const StackOptions& options) : options_(options) {
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < options.layers; ++i) {
    blocks_.emplace_back(options.block);
    list->push_back(blocks_.back());
  }
  register_module("layers", list);
}

KvCache DecoderStackImpl::make_cache(int64_t batch, int64_t capacity,
                                     torch::TensorOptions options) const {
  return KvCache(options_.layers, batch, options_.block.kv_heads, capacity, options_.block.head_dim,
                 options);
}

namespace {

// Visible keys of a causal window, [T, S], for queries that start at position `first` of S keys.
torch::Tensor window_mask(int64_t first, int64_t queries, int64_t keys, int64_t window,
                          torch::Device device) {
  const auto options = torch::TensorOptions().device(device).dtype(torch::kInt64);
  const torch::Tensor i = torch::arange(first, first + queries, options).unsqueeze(1);
  const torch::Tensor distance = i - torch::arange(keys, options).unsqueeze(0);
  return (distance >= 0) & (distance < window);
}

}  // namespace

torch::Tensor DecoderStackImpl::forward(torch::Tensor x, const torch::Tensor& positions,
                                        const torch::Tensor& mask, KvCache* cache) {
  const int64_t first = cache ? cache->length() : 0, time = x.size(1), keys = first + time;
  const torch::Tensor where =
      positions.defined()
          ? positions
          : torch::arange(first, keys,
                          torch::TensorOptions().device(x.device()).dtype(torch::kInt64));
  const RopeOptions rotation{options_.block.head_dim, options_.rope_theta, RopeLayout::kHalves,
                             options_.rope_scaling};
  const Rope rope = make_rope(where, rotation, x.scalar_type());
  AttentionContext context{&rope, mask, cache};
  // Plain causal attention starts at position 0; a window, or several positions behind a cache,
  // need a mask.
  const int64_t window = options_.block.window;
  const bool windowed = window > 0 && keys > window;
  if (windowed || (first > 0 && time > 1 && !mask.defined())) {
    const torch::Tensor visible =
        window_mask(first, time, keys, windowed ? window : keys, x.device());
    context.mask = mask.defined() ? mask & visible : visible;
  }
  const bool recompute = checkpointing_ && torch::GradMode::is_enabled() && !cache;
  for (int64_t i = 0; i < options_.layers; ++i) {
    if (!recompute) {
      x = blocks_[i](x, context, i);
      continue;
    }
    // The backward pass runs this after our own rope is gone, so the piece keeps one (two shared
    // tensors).
    auto piece = [block = blocks_[i], rope, given = context, i](const torch::Tensor& h) mutable {
      given.rope = &rope;
      return block(h, given, i);
    };
    x = checkpoint(piece, x);
  }
  if (cache) cache->advance(time);
  return x;
}

}  // namespace ttsft
