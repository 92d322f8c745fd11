#include "ttsft/judge/whisper_model.h"

#include <stdexcept>

namespace ttsft {
namespace {

constexpr double kNormEpsilon = 1e-5;

// Modules 0, 1, .. below `name`.
template <typename Layer>
std::vector<Layer> add_layers(torch::nn::Module &parent,
                              const WhisperOptions &options, int64_t count) {
  ModuleGroup group;
  std::vector<Layer> layers;
  for (int64_t i = 0; i < count; ++i)
    layers.push_back(group->add(i, Layer(options)));
  parent.register_module("layers", group);
  return layers;
}

torch::Tensor mlp(const torch::Tensor &x, Linear &up, Linear &down) {
  return down(torch::gelu(up(x)));
}

} // namespace

WhisperAttentionImpl::WhisperAttentionImpl(int64_t width, int64_t heads)
    : heads_(heads) {
  if (heads < 1 || width % heads != 0)
    throw std::logic_error(
        "WhisperAttention: the heads do not divide the width");
  k_proj = register_module("k_proj", Linear(width, width, /*with_bias=*/false));
  v_proj = register_module("v_proj", Linear(width, width, true));
  q_proj = register_module("q_proj", Linear(width, width, true));
  out_proj = register_module("out_proj", Linear(width, width, true));
}

torch::Tensor WhisperAttentionImpl::heads(const torch::Tensor &x) const {
  return x.unflatten(-1, {heads_, -1}).transpose(1, 2);
}

torch::Tensor WhisperAttentionImpl::forward(const torch::Tensor &x) {
  const torch::Tensor seen = at::scaled_dot_product_attention(
      heads(q_proj(x)), heads(k_proj(x)), heads(v_proj(x)));
  return out_proj(seen.transpose(1, 2).flatten(2));
}

torch::Tensor WhisperAttentionImpl::causal(const torch::Tensor &x,
                                           KvCache &cache,
                                           const KvCache::Step &step,
                                           int64_t layer) {
  const auto [k, v] =
      cache.write(step, layer, heads(k_proj(x)), heads(v_proj(x)));
  const torch::Tensor seen = at::scaled_dot_product_attention(
      heads(q_proj(x)), k, v,
      step.mask.defined() ? std::optional<torch::Tensor>(step.mask)
                          : std::nullopt,
      0.0, step.causal);
  return out_proj(seen.transpose(1, 2).flatten(2));
}

std::pair<torch::Tensor, torch::Tensor>
WhisperAttentionImpl::hear(const torch::Tensor &encoded) {
  // In one piece, since every step reads them.
  return {heads(k_proj(encoded)).contiguous(),
          heads(v_proj(encoded)).contiguous()};
}

torch::Tensor WhisperAttentionImpl::look(
    const torch::Tensor &x,
    const std::pair<torch::Tensor, torch::Tensor> &heard) {
  const int64_t windows = heard.first.size(0), width = x.size(2);
  // To attention without a mask, beams of one window are further positions.
  const torch::Tensor q =
      q_proj(x).reshape({windows, -1, width}); // [B, R / B * T, D]
  const torch::Tensor seen =
      at::scaled_dot_product_attention(heads(q), heard.first, heard.second);
  return out_proj(seen.transpose(1, 2).reshape(x.sizes()));
}

WhisperEncoderLayerImpl::WhisperEncoderLayerImpl(
    const WhisperOptions &options) {
  const int64_t width = options.width;
  self_attn = register_module("self_attn",
                              WhisperAttention(width, options.encoder_heads));
  self_attn_layer_norm =
      register_module("self_attn_layer_norm", LayerNorm(width, kNormEpsilon));
  fc1 = register_module("fc1", Linear(width, options.encoder_ffn, true));
  fc2 = register_module("fc2", Linear(options.encoder_ffn, width, true));
  final_layer_norm =
      register_module("final_layer_norm", LayerNorm(width, kNormEpsilon));
}

torch::Tensor WhisperEncoderLayerImpl::forward(const torch::Tensor &x) {
  const torch::Tensor h = x + self_attn(self_attn_layer_norm(x));
  return h + mlp(final_layer_norm(h), fc1, fc2);
}

WhisperEncoderImpl::WhisperEncoderImpl(const WhisperOptions &options) {
  const int64_t width = options.width;
  conv1 = register_module(
      "conv1", Conv1d(ConvOptions{options.mels, width, /*kernel=*/3}));
  conv2 = register_module("conv2",
                          Conv1d(ConvOptions{width, width, 3, /*stride=*/2}));
  embed_positions = register_module(
      "embed_positions", Embedding(options.encoder_positions, width));
  layers_ =
      add_layers<WhisperEncoderLayer>(*this, options, options.encoder_layers);
  layer_norm = register_module("layer_norm", LayerNorm(width, kNormEpsilon));
}

torch::Tensor WhisperEncoderImpl::forward(const torch::Tensor &log_mel) {
  torch::Tensor x = torch::gelu(
      conv1(log_mel.to(conv1->weight.scalar_type()), /*padding=*/1));
  x = torch::gelu(conv2(x, 1)).transpose(1, 2) +
      embed_positions->weight; // [B, S, D]
  for (WhisperEncoderLayer &layer : layers_)
    x = layer(x);
  return layer_norm(x);
}

WhisperDecoderLayerImpl::WhisperDecoderLayerImpl(
    const WhisperOptions &options) {
  const int64_t width = options.width;
  self_attn = register_module("self_attn",
                              WhisperAttention(width, options.decoder_heads));
  self_attn_layer_norm =
      register_module("self_attn_layer_norm", LayerNorm(width, kNormEpsilon));
  encoder_attn = register_module(
      "encoder_attn", WhisperAttention(width, options.decoder_heads));
  encoder_attn_layer_norm = register_module("encoder_attn_layer_norm",
                                            LayerNorm(width, kNormEpsilon));
  fc1 = register_module("fc1", Linear(width, options.decoder_ffn, true));
  fc2 = register_module("fc2", Linear(options.decoder_ffn, width, true));
  final_layer_norm =
      register_module("final_layer_norm", LayerNorm(width, kNormEpsilon));
}

torch::Tensor WhisperDecoderLayerImpl::forward(
    const torch::Tensor &x, KvCache &cache, const KvCache::Step &step,
    int64_t layer, const std::pair<torch::Tensor, torch::Tensor> &heard) {
  torch::Tensor h =
      x + self_attn->causal(self_attn_layer_norm(x), cache, step, layer);
  h = h + encoder_attn->look(encoder_attn_layer_norm(h), heard);
  return h + mlp(final_layer_norm(h), fc1, fc2);
}

WhisperDecoderImpl::WhisperDecoderImpl(const WhisperOptions &options)
    : options_(options) {
  embed_tokens = register_module("embed_tokens",
                                 Embedding(options.vocabulary, options.width));
  embed_positions = register_module(
      "embed_positions", Embedding(options.decoder_positions, options.width));
  layers_ =
      add_layers<WhisperDecoderLayer>(*this, options, options.decoder_layers);
  layer_norm =
      register_module("layer_norm", LayerNorm(options.width, kNormEpsilon));
}

WhisperHeard WhisperDecoderImpl::hear(const torch::Tensor &encoded) {
  WhisperHeard heard;
  for (WhisperDecoderLayer &layer : layers_)
    heard.push_back(layer->hear(encoded));
  return heard;
}

torch::Tensor WhisperDecoderImpl::forward(const torch::Tensor &tokens,
                                          KvCache &cache,
                                          const WhisperHeard &heard) {
  const KvCache::Step step = cache.open(tokens.size(1));
  if (!cache.level())
    throw std::logic_error("WhisperDecoder: rows of unequal length");
  torch::Tensor x =
      embed_tokens(tokens) +
      embed_positions->weight.narrow(0, step.first, step.time); // [R, T, D]
  for (size_t i = 0; i < layers_.size(); ++i)
    x = layers_[i]->forward(x, cache, step, static_cast<int64_t>(i), heard[i]);
  cache.advance(step.time);
  return layer_norm(x);
}

torch::Tensor WhisperDecoderImpl::logits(const torch::Tensor &states) {
  return torch::nn::functional::linear(states, embed_tokens->weight)
      .to(torch::kFloat32);
}

KvCache WhisperDecoderImpl::make_cache(int64_t rows) const {
  return {options_.decoder_layers,
          rows,
          options_.decoder_heads,
          std::min<int64_t>(options_.decoder_positions, 128),
          options_.width / options_.decoder_heads,
          embed_tokens->weight.options().requires_grad(false)};
}

WhisperImpl::WhisperImpl(const WhisperOptions &options) : options_(options) {
  encoder = register_module("encoder", WhisperEncoder(options));
  decoder = register_module("decoder", WhisperDecoder(options));
}

} // namespace ttsft
