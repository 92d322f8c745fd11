#include "models/chatterbox/modules.h"

namespace ttsft::chatterbox {
namespace {

constexpr double kRmsEps = 1e-5, kRopeTheta = 500000;

StackOptions stack_options(const T3Config& config) {
  StackOptions options;
  options.layers = config.num_hidden_layers;
  options.rope_theta = kRopeTheta;
  options.rope_scaling = Llama3Scaling{};
  options.block.hidden = config.hidden_size;
  options.block.intermediate = config.intermediate_size;
  options.block.heads = config.num_attention_heads;
  options.block.kv_heads = config.num_key_value_heads;
  options.block.head_dim = config.head_dim;
  options.block.norm_eps = kRmsEps;
  return options;
}

Linear head(int64_t in, int64_t out) {
  return Linear(LinearOptions{in, out, false, LinearLayout::kOutIn, LinearRole::kHead});
}

torch::Tensor split_heads(const torch::Tensor& x) {  // [B, T, D] -> [B, H, T, D / H]
  return x.unflatten(-1, {kPerceiverHeads, -1}).transpose(1, 2);
}

}  // namespace

PerceiverAttentionImpl::PerceiverAttentionImpl(int64_t dim) {
  norm = register_module("norm", LayerNorm(dim, 1e-5));
  to_q = register_module("to_q", Linear(dim, dim, true));
  to_k = register_module("to_k", Linear(dim, dim, true));
  to_v = register_module("to_v", Linear(dim, dim, true));
  proj_out = register_module("proj_out", Linear(dim, dim, true));
}

torch::Tensor PerceiverAttentionImpl::forward(const torch::Tensor& queries,
                                              const torch::Tensor& keys,
                                              const torch::Tensor& visible) {
  const torch::Tensor normed = norm(keys);
  const torch::Tensor q = split_heads(to_q(norm(queries)));
  const torch::Tensor k = split_heads(to_k(normed)), v = split_heads(to_v(normed));
  std::optional<torch::Tensor> mask;
  if (visible.defined()) mask = visible.unsqueeze(1).unsqueeze(1);  // [B, 1, 1, N]
  const torch::Tensor attended = at::scaled_dot_product_attention(q, k, v, mask);
  return queries + proj_out(attended.transpose(1, 2).flatten(2));
}

PerceiverImpl::PerceiverImpl(int64_t queries, int64_t dim) {
  pre_attention_query = register_parameter("pre_attention_query", torch::empty({1, queries, dim}));
  attn = register_module("attn", PerceiverAttention(dim));
}

torch::Tensor PerceiverImpl::forward(const torch::Tensor& prompt, const torch::Tensor& visible) {
  const torch::Tensor query = pre_attention_query.expand({prompt.size(0), -1, -1});
  const torch::Tensor looked = attn(query, prompt, visible);
  return attn(looked, looked);
}

ConditionEncoderImpl::ConditionEncoderImpl(const T3Config& config) {
  spkr_enc =
      register_module("spkr_enc", Linear(config.speaker_embed_size, config.hidden_size, true));
  emotion_adv_fc = register_module("emotion_adv_fc", Linear(1, config.hidden_size));
  perceiver = register_module("perceiver", Perceiver(config.perceiver_queries, config.hidden_size));
}

torch::Tensor ConditionEncoderImpl::forward(const torch::Tensor& speaker,
                                            const torch::Tensor& prompt,
                                            const torch::Tensor& visible,
                                            const torch::Tensor& emotion) {
  return torch::cat({spkr_enc(speaker).unsqueeze(1), perceiver(prompt, visible),
                     emotion_adv_fc(emotion).unsqueeze(1)},
                    1);
}

LlamaImpl::LlamaImpl(const T3Config& config) : DecoderStackImpl(stack_options(config)) {
  embed_tokens = register_module("embed_tokens", Embedding(config.vocab_size, config.hidden_size));
  norm = register_module("norm", RmsNorm(config.hidden_size, kRmsEps));
}

T3Impl::T3Impl(const T3Config& config) {
  const int64_t dim = config.hidden_size;
  tfmr = register_module("tfmr", Llama(config));
  cond_enc = register_module("cond_enc", ConditionEncoder(config));
  text_emb = register_module("text_emb", Embedding(config.text_vocab, dim));
  speech_emb = register_module("speech_emb", Embedding(config.speech_vocab, dim));
  text_pos_emb = register_module("text_pos_emb", LearnedPositions(config.max_text_tokens + 2, dim));
  speech_pos_emb =
      register_module("speech_pos_emb", LearnedPositions(config.max_speech_tokens + 4, dim));
  text_head = register_module("text_head", head(dim, config.text_vocab));
  speech_head = register_module("speech_head", head(dim, config.speech_vocab));
}

torch::Tensor T3Impl::condition(const torch::Tensor& speaker, const torch::Tensor& prompt,
                                const torch::Tensor& visible, const torch::Tensor& emotion) {
  const auto type = text_emb->weight.scalar_type();
  const torch::Tensor positions = torch::arange(prompt.size(1), prompt.options());
  return cond_enc(speaker.to(type), speech(prompt, positions), visible, emotion.to(type));
}

}  // namespace ttsft::chatterbox
