// s2mel.pth and the auxiliary models of a random checkpoint.
#include <nlohmann/json.hpp>

#include "models/indextts2/fixture_sizes.h"
#include "ttsft/model/fixture_list.h"

namespace ttsft::indextts2 {
namespace {

using Fill = FixtureTensor::Fill;
using Json = nlohmann::ordered_json;

// Weight normalisation under torch's older names.
void normed(FixtureList& list, const std::string& name, const Shape& shape, int64_t bias) {
  if (bias > 0) list.add(name + ".bias", {bias}, Fill::kSmall);
  Shape gain(shape.size(), 1);
  gain[0] = shape[0];
  list.add(name + ".weight_g", gain, Fill::kOne);
  list.weight(name + ".weight_v", shape);
}

void adaptive_norm(FixtureList& list, const std::string& name, int64_t d) {
  list.conv(name + ".project_layer", {2 * d, d});
  list.add(name + ".norm.weight", {d}, Fill::kOne);
}

void list_dit(FixtureList& list, const S2MelConfig& m) {
  const int64_t d = m.hidden_dim, ffn = (8 * d / 3 + 255) / 256 * 256;
  const std::string e = "net/cfm/estimator.";
  list.tensors.push_back({e + "input_pos", DType::kI64, {16384}, Fill::kZero});
  for (int64_t i = 0; i < m.depth; ++i) {
    const std::string l = e + "transformer.layers." + std::to_string(i) + ".";
    list.weight(l + "attention.wqkv.weight", {3 * d, d});
    list.weight(l + "attention.wo.weight", {d, d});
    list.weight(l + "feed_forward.w1.weight", {ffn, d});
    list.weight(l + "feed_forward.w3.weight", {ffn, d});
    list.weight(l + "feed_forward.w2.weight", {d, ffn});
    adaptive_norm(list, l + "ffn_norm", d);
    adaptive_norm(list, l + "attention_norm", d);
    list.conv(l + "skip_in_linear", {d, 2 * d});
  }
  adaptive_norm(list, e + "transformer.norm", d);
  normed(list, e + "x_embedder", {d, m.in_channels}, d);
  list.weight(e + "cond_embedder.weight", {8, d});
  list.conv(e + "cond_projection", {d, m.content_dim});
  for (const std::string name : {"t_embedder", "t_embedder2"}) {
    list.add(e + name + ".freqs", {128}, Fill::kSmall);
    list.conv(e + name + ".mlp.0", {d, 256});
    list.conv(e + name + ".mlp.2", {d, d});
  }
  list.conv(e + "conv1", {m.wavenet_dim, d});
  list.conv(e + "conv2", {m.in_channels, m.wavenet_dim, 1});
  const int64_t w = m.wavenet_dim;
  for (int64_t i = 0; i < m.wavenet_layers; ++i) {
    const std::string n = std::to_string(i) + ".conv.conv";
    const int64_t out = i + 1 < m.wavenet_layers ? 2 * w : w;
    normed(list, e + "wavenet.in_layers." + n, {2 * w, w, m.wavenet_kernel}, 2 * w);
    normed(list, e + "wavenet.res_skip_layers." + n, {out, w, 1}, out);
  }
  normed(list, e + "wavenet.cond_layer.conv.conv", {2 * w * m.wavenet_layers, w, 1},
         2 * w * m.wavenet_layers);
  normed(list, e + "final_layer.linear", {w, w}, w);
  list.conv(e + "final_layer.adaLN_modulation.1", {2 * w, w});
  list.conv(e + "res_projection", {w, d});
  list.weight(e + "content_mask_embedder.weight", {1, d});
  list.conv(e + "skip_linear", {d, d + m.in_channels});
  list.conv(e + "cond_x_merge_linear", {d, 2 * m.in_channels + d + m.style_dim});
}

void list_regulator(FixtureList& list, const S2MelConfig& m) {
  const int64_t c = m.regulator_channels;
  const std::string r = "net/length_regulator/";
  list.add(r + "mask_token", {1, c}, Fill::kZero);
  for (int64_t i = 0; i < 4; ++i) {
    list.conv(r + "model." + std::to_string(3 * i), {c, c, 3});
    list.norm(r + "model." + std::to_string(3 * i + 1), c);
  }
  list.conv(r + "model.12", {c, c, 1});
  list.weight(r + "embedding.weight", {8, c});
  list.conv(r + "content_in_proj", {c, m.regulator_in});
}

}  // namespace

FixtureFile list_s2mel(const FixtureSizes& sizes) {
  FixtureList list(DType::kF32);
  list_dit(list, sizes.s2mel);
  list_regulator(list, sizes.s2mel);
  int64_t in = sizes.gpt.model_dim;
  std::vector<int64_t> widths = sizes.gpt_layer;
  widths.push_back(sizes.codec.hidden_size);
  for (size_t i = 0; i < widths.size(); ++i) {
    list.conv("net/gpt_layer/" + std::to_string(i), {widths[i], in});
    in = widths[i];
  }
  return {"s2mel.pth", std::move(list.tensors), ""};
}

std::vector<FixtureFile> list_w2v_bert(const FixtureSizes& sizes) {
  const auto& w = sizes.w2v;
  const int64_t d = w.hidden;
  FixtureList list(DType::kF32);
  list.norm("feature_projection.layer_norm", 160);
  list.conv("feature_projection.projection", {d, 160});
  list.add("masked_spec_embed", {d}, Fill::kSmall);
  for (int64_t i = 0; i < w.layers; ++i) {
    const std::string l = "encoder.layers." + std::to_string(i) + ".";
    for (const std::string ffn : {"ffn1", "ffn2"}) {
      list.norm(l + ffn + "_layer_norm", d);
      list.conv(l + ffn + ".intermediate_dense", {w.ffn, d});
      list.conv(l + ffn + ".output_dense", {d, w.ffn});
    }
    list.norm(l + "self_attn_layer_norm", d);
    for (const char* name : {"linear_q", "linear_k", "linear_v", "linear_out"})
      list.conv(l + "self_attn." + name, {d, d});
    list.add(l + "self_attn.distance_embedding.weight", {73, d / w.heads}, Fill::kNormal, 0.1);
    list.norm(l + "conv_module.layer_norm", d);
    list.weight(l + "conv_module.pointwise_conv1.weight", {2 * d, d, 1});
    list.weight(l + "conv_module.depthwise_conv.weight", {d, 1, 31});
    list.norm(l + "conv_module.depthwise_layer_norm", d);
    list.weight(l + "conv_module.pointwise_conv2.weight", {d, d, 1});
    list.norm(l + "final_layer_norm", d);
  }
  const Json config = {{"hidden_size", d},
                       {"num_hidden_layers", w.layers},
                       {"num_attention_heads", w.heads},
                       {"intermediate_size", w.ffn},
                       {"feature_projection_input_dim", 160},
                       {"position_embeddings_type", "relative_key"},
                       {"left_max_position_embeddings", 64},
                       {"right_max_position_embeddings", 8},
                       {"conv_depthwise_kernel_size", 31},
                       {"hidden_act", "swish"},
                       {"layer_norm_eps", 1e-5}};
  const Json features = {
      {"num_mel_bins", 80}, {"stride", 2}, {"sampling_rate", 16000}, {"padding_value", 1.0}};
  const std::string folder = "hf_cache/w2v-bert-2.0/";
  return {{folder + "config.json", {}, config.dump(2) + "\n"},
          {folder + "preprocessor_config.json", {}, features.dump(2) + "\n"},
          {folder + "model.safetensors", std::move(list.tensors), ""}};
}

FixtureFile list_semantic_codec(const FixtureSizes& sizes) {
  const SemanticCodecConfig& c = sizes.codec;
  FixtureList list(DType::kF32);
  for (const std::string side : {"encoder", "decoder"}) {
    const std::string b = side + ".0.";
    list.conv(b + "embed", {c.vocos_dim, c.hidden_size, 7});
    list.norm(b + "norm", c.vocos_dim);
    for (int64_t i = 0; i < c.vocos_num_layers; ++i) {
      const std::string n = b + "convnext." + std::to_string(i) + ".";
      list.conv(n + "dwconv", {c.vocos_dim, 1, 7});
      list.norm(n + "norm", c.vocos_dim);
      list.conv(n + "pwconv1", {c.vocos_intermediate_dim, c.vocos_dim});
      list.conv(n + "pwconv2", {c.vocos_dim, c.vocos_intermediate_dim});
      list.add(n + "gamma", {c.vocos_dim}, Fill::kNormal, 0.2);
    }
    list.norm(b + "final_layer_norm", c.vocos_dim);
    list.conv(side + ".1", {c.hidden_size, c.vocos_dim});
  }
  const std::string q = "quantizer.quantizers.0.";
  normed(list, q + "in_project", {c.codebook_dim, c.hidden_size, 1}, c.codebook_dim);
  normed(list, q + "out_project", {c.hidden_size, c.codebook_dim, 1}, c.hidden_size);
  list.add(q + "codebook.weight", {c.codebook_size, c.codebook_dim}, Fill::kNormal, 0.5);
  return {"hf_cache/semantic_codec_model.safetensors", std::move(list.tensors), ""};
}

std::vector<FixtureFile> list_vocoder(const FixtureSizes& sizes) {
  const std::vector<int64_t> rates = {4, 4, 2, 2, 2, 2}, kernels = {8, 8, 4, 4, 4, 4};
  const std::string g = "generator/";
  FixtureList list(DType::kF32);
  const auto activation = [&](const std::string& name, int64_t channels) {
    list.add(g + name + ".act.alpha", {channels}, Fill::kSmall);
    list.add(g + name + ".act.beta", {channels}, Fill::kSmall);
    list.add(g + name + ".upsample.filter", {1, 1, 12}, Fill::kNormal, 0.3);
    list.add(g + name + ".downsample.lowpass.filter", {1, 1, 12}, Fill::kNormal, 0.3);
  };
  int64_t channels = sizes.vocoder.channels;
  normed(list, g + "conv_pre", {channels, 80, 7}, channels);
  for (size_t i = 0; i < rates.size(); ++i)
    normed(list, g + "ups." + std::to_string(i) + ".0",
           {channels >> i, channels >> (i + 1), kernels[i]}, channels >> (i + 1));
  const auto& blocks = sizes.vocoder.kernels;
  for (size_t i = 0; i < rates.size(); ++i) {
    channels /= 2;
    for (size_t k = 0; k < blocks.size(); ++k) {
      const std::string p = "resblocks." + std::to_string(i * blocks.size() + k) + ".";
      for (const char* half : {"convs1.", "convs2."})
        for (int64_t j = 0; j < 3; ++j)
          normed(list, g + p + half + std::to_string(j), {channels, channels, blocks[k]}, channels);
      for (int64_t j = 0; j < 6; ++j) activation(p + "activations." + std::to_string(j), channels);
    }
  }
  activation("activation_post", channels);
  normed(list, g + "conv_post", {1, channels, 7}, 0);
  const Json config = {
      {"resblock", "1"},
      {"upsample_rates", rates},
      {"upsample_kernel_sizes", kernels},
      {"upsample_initial_channel", sizes.vocoder.channels},
      {"resblock_kernel_sizes", blocks},
      {"resblock_dilation_sizes", std::vector<std::vector<int64_t>>(blocks.size(), {1, 3, 5})},
      {"use_tanh_at_final", false},
      {"use_bias_at_final", false},
      {"activation", "snakebeta"},
      {"snake_logscale", true},
      {"num_mels", 80},
      {"sampling_rate", 22050}};
  return {{"hf_cache/bigvgan/config.json", {}, config.dump(2) + "\n"},
          {"hf_cache/bigvgan/bigvgan_generator.pt", std::move(list.tensors), ""}};
}

}  // namespace ttsft::indextts2
