// gpt.pth of a random checkpoint.
#include "models/indextts2/fixture_sizes.h"
#include "ttsft/model/fixture_list.h"

namespace ttsft::indextts2 {
namespace {

using Fill = FixtureTensor::Fill;

// Conv1D: the weight lies as [in, out].
void transposed(FixtureList& list, const std::string& name, int64_t in, int64_t out) {
  list.weight(name + ".weight", {in, out});
  list.add(name + ".bias", {out}, Fill::kSmall);
}

void list_conformer(FixtureList& list, const std::string& p, const ConditionerConfig& c) {
  const int64_t d = c.output_size;
  list.conv(p + "embed.conv.0", {d, 1, 3, 3});
  list.conv(p + "embed.out.0", {d, c.flattened});
  list.add(p + "embed.pos_enc.pe", {1, c.positions, d}, Fill::kNormal, 0.7);
  list.norm(p + "after_norm", d);
  for (int64_t i = 0; i < c.num_blocks; ++i) {
    const std::string b = p + "encoders." + std::to_string(i) + ".";
    list.add(b + "self_attn.pos_bias_u", {c.attention_heads, d / c.attention_heads}, Fill::kSmall);
    list.add(b + "self_attn.pos_bias_v", {c.attention_heads, d / c.attention_heads}, Fill::kSmall);
    for (const char* name : {"linear_q", "linear_k", "linear_v", "linear_out"})
      list.conv(b + "self_attn." + name, {d, d});
    list.weight(b + "self_attn.linear_pos.weight", {d, d});
    list.conv(b + "feed_forward.w_1", {c.linear_units, d});
    list.conv(b + "feed_forward.w_2", {d, c.linear_units});
    list.conv(b + "conv_module.pointwise_conv1", {2 * d, d, 1});
    list.conv(b + "conv_module.depthwise_conv", {d, 1, c.conv_kernel});
    list.norm(b + "conv_module.norm", d);
    list.conv(b + "conv_module.pointwise_conv2", {d, d, 1});
    for (const char* name : {"norm_ff", "norm_mha", "norm_conv", "norm_final"})
      list.norm(b + name, d);
  }
}

void list_perceiver(FixtureList& list, const std::string& p, const ConditionerConfig& c) {
  const int64_t d = c.latent_dim, inner = c.attention_heads * c.head_dim;
  list.add(p + "latents", {c.latents, d}, Fill::kNormal, 0.5);
  list.conv(p + "proj_context", {d, c.output_size});
  for (int64_t i = 0; i < c.depth; ++i) {
    const std::string l = p + "layers." + std::to_string(i) + ".";
    list.weight(l + "0.to_q.weight", {inner, d});
    list.weight(l + "0.to_kv.weight", {2 * inner, d});
    list.weight(l + "0.to_out.weight", {d, inner});
    list.conv(l + "1.0", {2 * c.inner, d});
    list.conv(l + "1.2", {d, c.inner});
  }
  list.add(p + "norm.gamma", {d}, Fill::kOne);
}

}  // namespace

FixtureFile list_gpt(const FixtureSizes& sizes) {
  const GptConfig& g = sizes.gpt;
  const int64_t d = g.model_dim;
  FixtureList list(DType::kF32);
  list_conformer(list, "conditioning_encoder.", g.speaker);
  list_perceiver(list, "perceiver_encoder.", g.speaker);
  list_conformer(list, "emo_conditioning_encoder.", g.emotion);
  list_perceiver(list, "emo_perceiver_encoder.", g.emotion);
  list.add("text_embedding.weight", {g.text_vocabulary, d}, Fill::kNormal, 0.5);
  list.conv("emo_layer", {d, d});
  list.conv("emovec_layer", {d, g.emotion.latent_dim});
  list.add("mel_embedding.weight", {8194, d}, Fill::kNormal, 0.5);
  for (int64_t i = 0; i < g.layers; ++i) {
    const std::string h = "gpt.h." + std::to_string(i) + ".";
    list.norm(h + "ln_1", d);
    transposed(list, h + "attn.c_attn", d, 3 * d);
    transposed(list, h + "attn.c_proj", d, d);
    list.norm(h + "ln_2", d);
    transposed(list, h + "mlp.c_fc", d, g.inner);
    transposed(list, h + "mlp.c_proj", g.inner, d);
  }
  list.norm("gpt.ln_f", d);
  list.add("mel_pos_embedding.emb.weight", {g.max_mel_tokens + 3, d}, Fill::kNormal, 0.5);
  list.add("text_pos_embedding.emb.weight", {g.max_text_tokens + 2, d}, Fill::kNormal, 0.5);
  list.norm("final_norm", d);
  list.conv("text_head", {g.text_vocabulary, d});
  list.conv("mel_head", {8194, d});
  list.add("speed_emb.weight", {2, d}, Fill::kNormal, 0.5);
  return {"gpt.pth", std::move(list.tensors), ""};
}

}  // namespace ttsft::indextts2
