#include "ttsft/nn/decoder_block.h"

#include <cmath>
#include <limits>

namespace ttsft {
namespace {

constexpr int64_t kLeastBand = 32;        // frames of a band's block
constexpr int64_t kBandedFromBlocks = 4;  // shorter sequences are one matrix

RmsNorm make_qk_norm(const BlockOptions& o, int64_t heads) {
  const int64_t size = o.qk_norm == QkNorm::kPerHead ? o.head_dim : heads * o.head_dim;
  return RmsNorm(size, o.qk_norm_eps > 0 ? o.qk_norm_eps : o.norm_eps);
}

}  // namespace

AttentionImpl::AttentionImpl(const BlockOptions& o) : options_(o) {
  const auto projection = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return register_module(
        name, Linear(LinearOptions{in, out, bias, LinearLayout::kOutIn, LinearRole::kAttention}));
  };
  const BlockNames& names = o.names;
  const int64_t width = o.heads * o.head_dim, kv_width = o.kv_heads * o.head_dim;
  if (names.qkv) {
    qkv = projection(names.qkv, o.hidden, width + 2 * kv_width, o.qkv_bias);
  } else {
    q_proj = projection(names.q, o.hidden, width, o.qkv_bias);
    k_proj = projection(names.k, o.hidden, kv_width, o.qkv_bias);
    v_proj = projection(names.v, o.hidden, kv_width, o.qkv_bias);
  }
  o_proj = projection(names.o, width, o.hidden, false);
  if (o.qk_norm != QkNorm::kNone) {
    q_norm = register_module("q_norm", make_qk_norm(o, o.heads));
    k_norm = register_module("k_norm", make_qk_norm(o, o.kv_heads));
  }
}

torch::Tensor AttentionImpl::attend(const torch::Tensor& q, const torch::Tensor& k,
                                    const torch::Tensor& v, const AttentionContext& context) const {
  std::optional<torch::Tensor> mask;
  if (context.mask.defined()) mask = context.mask;
  const int64_t group = options_.heads / options_.kv_heads;
  if (group == 1) return at::scaled_dot_product_attention(q, k, v, mask, 0.0, context.causal);
  if (q.size(2) == 1 && (!mask || mask->size(1) == 1)) {
    // One new position: the heads of a group become queries of their shared key head. The fused
    // kernels take no mask together with groups, and so need none of them.
    const torch::Tensor folded = q.view({q.size(0), options_.kv_heads, group, q.size(3)});
    return at::scaled_dot_product_attention(folded, k, v, mask)
        .reshape({q.size(0), options_.heads, 1, q.size(3)});
  }
  if (!mask) {
    return at::scaled_dot_product_attention(q, k, v, mask, 0.0, context.causal,
                                            /*scale=*/std::nullopt, /*enable_gqa=*/true);
  }
  return at::scaled_dot_product_attention(q, k.repeat_interleave(group, 1),
                                          v.repeat_interleave(group, 1), mask);
}

torch::Tensor AttentionImpl::attend_band(const torch::Tensor& q, const torch::Tensor& k,
                                         const torch::Tensor& v, const AttentionBand& band) const {
  const int64_t batch = q.size(0), time = q.size(2), blocks = band.mask.size(0);
  const int64_t missing = blocks * band.size - time;
  // [B, h, T, d] -> [B, h, blocks, size, d]
  const auto blocked = [&](const torch::Tensor& x) {
    return torch::constant_pad_nd(x, {0, 0, 0, missing}).unflatten(2, {blocks, band.size});
  };
  // -> [B blocks, h, n, d]
  const auto folded = [](const torch::Tensor& x) { return x.transpose(1, 2).flatten(0, 1); };
  const auto with_earlier = [&](const torch::Tensor& x) {
    const torch::Tensor own = blocked(x);
    const torch::Tensor earlier =
        torch::constant_pad_nd(own.narrow(2, 0, blocks - 1), {0, 0, 0, 0, 1, 0});
    return folded(torch::cat({earlier, own}, 3));
  };
  AttentionContext context;
  context.mask =
      band.mask.unsqueeze(0).expand({batch, -1, -1, -1, -1}).flatten(0, 1);  // [B blocks, ..]
  const torch::Tensor y = attend(folded(blocked(q)), with_earlier(k), with_earlier(v), context);
  return y.unflatten(0, {batch, blocks}).transpose(1, 2).flatten(2, 3).narrow(2, 0, time);
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x, const AttentionContext& context,
                                     int64_t layer) {
  const int64_t batch = x.size(0), time = x.size(1), d = options_.head_dim;
  const int64_t width = options_.heads * d, kv_width = options_.kv_heads * d;
  torch::Tensor q, k, v;  // [B, T, H * d]
  if (qkv) {
    const auto parts = qkv(x).split_with_sizes({width, kv_width, kv_width}, -1);
    q = parts[0];
    k = parts[1];
    v = parts[2];
  } else {
    q = q_proj(x);
    k = k_proj(x);
    v = v_proj(x);
  }
  const auto heads = [&](const torch::Tensor& y) { return y.unflatten(-1, {-1, d}); };
  if (options_.qk_norm == QkNorm::kWhole) {
    q = q_norm(q);
    k = k_norm(k);
  }
  q = heads(q);
  k = heads(k);
  if (options_.qk_norm == QkNorm::kPerHead) {
    q = q_norm(q);
    k = k_norm(k);
  }
  q = q.transpose(1, 2);  // [B, H, T, d]
  k = k.transpose(1, 2);
  v = heads(v).transpose(1, 2);
  if (context.rope) {
    q = apply_rope(q, *context.rope);
    k = apply_rope(k, *context.rope);
  }
  if (context.cache) std::tie(k, v) = context.cache->write(*context.step, layer, k, v);
  const torch::Tensor y =
      context.band.size > 0 ? attend_band(q, k, v, context.band) : attend(q, k, v, context);
  return o_proj(y.transpose(1, 2).reshape({batch, time, width}));
}

MlpImpl::MlpImpl(const BlockOptions& o) : kind_(o.mlp) {
  const auto layer = [&](const char* name, int64_t in, int64_t out) {
    return register_module(
        name, Linear(LinearOptions{in, out, false, LinearLayout::kOutIn, LinearRole::kMlp}));
  };
  if (kind_ == MlpKind::kSwiGlu) {
    gate_proj = layer(o.names.gate, o.hidden, o.intermediate);
    up_proj = layer(o.names.up, o.hidden, o.intermediate);
    down_proj = layer(o.names.down, o.intermediate, o.hidden);
  } else {
    fc1 = layer("fc1", o.hidden, o.intermediate);
    fc2 = layer("fc2", o.intermediate, o.hidden);
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
    : attention_norm_(make_norm(o)), mlp_norm_(make_norm(o)) {
  const BlockNames& names = o.names;
  register_module(names.attention_norm, attention_norm_.ptr());
  attention_ = register_module(names.attention, Attention(o));
  register_module(names.mlp_norm, mlp_norm_.ptr());
  mlp_ = register_module(names.mlp, Mlp(o));
  if (o.layer_scale) {
    attention_scale_ = scale(names.attention_scale, o);
    mlp_scale_ = scale(names.mlp_scale, o);
  }
}

// A module with one parameter, or (Voxtral) a parameter of the block itself.
torch::Tensor DecoderBlockImpl::scale(const char* name, const BlockOptions& o) {
  const torch::Tensor values = torch::empty({o.hidden});
  if (!o.names.scale_parameter) return register_parameter(name, values);
  return register_module(name, LayerScale(o.hidden, o.names.scale_parameter))->scale;
}

torch::Tensor DecoderBlockImpl::forward(const torch::Tensor& x, const AttentionContext& context,
                                        int64_t layer) {
  torch::Tensor attended = attention_(attention_norm_.forward(x), context, layer);
  if (attention_scale_.defined()) attended = attended * attention_scale_;
  const torch::Tensor h = x + attended;
  torch::Tensor expanded = mlp_(mlp_norm_.forward(h));
  if (mlp_scale_.defined()) expanded = expanded * mlp_scale_;
  return h + expanded;
}

DecoderStackImpl::DecoderStackImpl(const StackOptions& options)
    : options_(options),
      rope_({options.block.head_dim, options.rope_theta, options.rope_layout, options.rope_scaling},
            options.rope_bf16_table) {
  const int64_t hidden = options.block.hidden, outside = options.outside;
  if (outside > 0) {
    input_proj_ = register_module(options.input_proj, Linear(outside, hidden, true));
    output_proj_ = register_module(options.output_proj, Linear(hidden, outside, true));
  }
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < options.layers; ++i) {
    blocks_.emplace_back(options.block);
    list->push_back(blocks_.back());
  }
  register_module("layers", list);
  if (options.final_norm) {
    final_norm_ = make_norm(options.block);
    register_module(options.final_norm, final_norm_.ptr());
  }
}

KvCache DecoderStackImpl::make_cache(int64_t rows, int64_t capacity,
                                     torch::TensorOptions options) const {
  return KvCache(options_.layers, rows, options_.block.kv_heads, capacity, options_.block.head_dim,
                 options);
}

std::vector<double> alibi_slopes(int64_t heads) {
  int64_t power = 1;
  while (power * 2 <= heads) power *= 2;
  std::vector<double> slopes;
  for (int64_t h = 0; h < power; ++h)
    slopes.push_back(std::pow(2.0, -8.0 * static_cast<double>(h) / static_cast<double>(power)));
  for (int64_t h = 0; power + h < heads; ++h)
    slopes.push_back(
        std::pow(2.0, -8.0 * static_cast<double>(2 * h) / (2.0 * static_cast<double>(power))));
  return slopes;
}

// The window and ALiBi of x without a cache: visible [T, T] keys, or a bias [1, H, T, T] of them.
torch::Tensor DecoderStackImpl::own_mask(int64_t time, const torch::Tensor& given,
                                         torch::TensorOptions options) const {
  const BlockOptions& block = options_.block;
  const bool windowed = block.window > 0 && time > block.window;
  if (!windowed && !block.alibi) return given;
  const torch::Tensor place = torch::arange(time, options.dtype(torch::kInt64));
  const torch::Tensor distance = place.unsqueeze(1) - place.unsqueeze(0);  // [T, T]
  torch::Tensor visible = block.causal ? distance >= 0 : torch::ones_like(distance, torch::kBool);
  if (windowed) visible = visible & (distance < block.window);
  if (given.defined()) visible = visible & given;
  return block.alibi ? alibi_bias(distance, visible, options) : visible;
}

// What own_mask() says, for x so long that most of that matrix would be hidden keys.
AttentionBand DecoderStackImpl::own_band(int64_t time, torch::TensorOptions options) const {
  const BlockOptions& block = options_.block;
  AttentionBand band;
  const int64_t size = std::max(block.window - 1, kLeastBand);
  if (block.window == 0 || !block.causal || time < kBandedFromBlocks * size) return band;
  band.size = size;
  const auto places = options.dtype(torch::kInt64);
  const torch::Tensor distance = torch::arange(size, places).unsqueeze(1) + size -
                                 torch::arange(2 * size, places).unsqueeze(0);  // [size, 2 size]
  const torch::Tensor seen = (distance >= 0) & (distance < block.window);
  const int64_t blocks = (time + size - 1) / size;
  torch::Tensor visible = seen.expand({blocks, 1, -1, -1}).clone();
  visible[0].narrow(-1, 0, size).fill_(false);  // nothing is before the first block
  band.mask = block.alibi ? alibi_bias(distance, visible, options) : visible;
  return band;
}

torch::Tensor DecoderStackImpl::alibi_bias(const torch::Tensor& distance,
                                           const torch::Tensor& visible,
                                           torch::TensorOptions options) const {
  const torch::Tensor slopes = torch::tensor(alibi_slopes(options_.block.heads), torch::kFloat32)
                                   .to(options.device())
                                   .view({1, -1, 1, 1});
  const torch::Tensor bias = -slopes * distance.abs().to(torch::kFloat32);
  return bias.masked_fill(~visible, -std::numeric_limits<float>::infinity()).to(options.dtype());
}

torch::Tensor DecoderStackImpl::forward(torch::Tensor x, const torch::Tensor& positions,
                                        const torch::Tensor& mask, KvCache* cache) {
  const BlockOptions& block = options_.block;
  const int64_t time = x.size(1);
  const auto type = x.scalar_type();
  AttentionContext context;
  KvCache::Step step;
  if (cache) {
    if (mask.defined() || !block.causal || block.alibi)
      throw std::logic_error("DecoderStack: a cache goes with plain causal attention");
    step = cache->open(time, block.window);
    context.cache = cache;
    context.step = &step;
    context.mask = step.mask;
    context.causal = step.causal;
  } else {
    if (!mask.defined()) context.band = own_band(time, x.options());
    if (context.band.size == 0) context.mask = own_mask(time, mask, x.options());
    context.causal = block.causal && !context.mask.defined() && time > 1;
  }
  Rope rope;
  if (options_.rotates) {
    if (positions.defined()) {
      rope = make_rope(positions, rope_.options(), type);
    } else if (step.positions.defined()) {
      rope = rope_.at(step.positions, cache->length() + time, type);
    } else {
      rope = rope_.range(step.first, time, x.device(), type);
    }
    context.rope = &rope;
  }
  const bool recompute = recomputes() && !cache;
  if (input_proj_) x = input_proj_(x);
  for (int64_t i = 0; i < options_.layers; ++i) {
    if (!recompute) {
      x = blocks_[static_cast<size_t>(i)](x, context, i);
      continue;
    }
    // The backward pass runs this after our own rope is gone, so the piece keeps one (two shared
    // tensors).
    auto piece = [block = blocks_[static_cast<size_t>(i)], rope, given = context,
                  i](const torch::Tensor& h) mutable {
      if (given.rope) given.rope = &rope;
      return block(h, given, i);
    };
    x = checkpoint(piece, x);
  }
  if (cache) cache->advance(time);
  if (!final_norm_.is_empty()) x = final_norm_.forward(x);
  return output_proj_ ? output_proj_(x) : x;
}

}  // namespace ttsft
