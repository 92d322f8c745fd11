#include "models/chatterbox/fixture_files.h"

#include <nlohmann/json.hpp>

#include "ttsft/model/fixture_list.h"
#include "ttsft/model/fixture_networks.h"

namespace ttsft::chatterbox {
namespace {

using Fill = FixtureTensor::Fill;
using json = nlohmann::ordered_json;

constexpr int64_t kTextIds = 704;

// Every number that a size decides; the rest is the same in both.
struct Sizes {
  struct {
    int64_t hidden, ffn, layers, heads, kv_heads, head_dim, max_text, max_speech, prompt;
  } t3;
  struct {
    int64_t hidden, embedding;
  } ve;
  struct {
    int64_t state, heads, layers;
  } tokenizer;
  struct {
    int64_t growth, bottleneck, channels;  // of CAMPPlus: bottleneck x growth is the inner width
  } speaker;
  struct {
    int64_t dim, heads, ffn, blocks, up_blocks;  // encoder
    int64_t channels, unet_heads, unet_head_dim, stage_blocks, middles;
  } flow;
  struct {
    int64_t channels, f0_channels;
  } hift;
};

constexpr Sizes kTiny{{96, 192, 2, 4, 2, 24, 126, 508, 30}, {16, 24}, {64, 4, 2}, {4, 2, 16},
                      {16, 2, 48, 2, 2, 24, 2, 8, 1, 2},    {32, 24}};
constexpr Sizes kRelease{
    {1024, 4096, 30, 16, 16, 64, 2048, 4096, 150}, {256, 256}, {1280, 20, 6}, {32, 4, 128},
    {512, 8, 2048, 6, 4, 256, 8, 64, 4, 12},       {512, 512}};

FixtureFile list_t3(const Sizes& sizes) {
  const auto& s = sizes.t3;
  FixtureList list(DType::kF32);
  list.add("tfmr.embed_tokens.weight", {8, s.hidden});
  for (int64_t i = 0; i < s.layers; ++i) {
    const std::string p = "tfmr.layers." + std::to_string(i) + ".";
    list.weight(p + "self_attn.q_proj.weight", {s.heads * s.head_dim, s.hidden});
    list.weight(p + "self_attn.k_proj.weight", {s.kv_heads * s.head_dim, s.hidden});
    list.weight(p + "self_attn.v_proj.weight", {s.kv_heads * s.head_dim, s.hidden});
    list.weight(p + "self_attn.o_proj.weight", {s.hidden, s.heads * s.head_dim});
    list.weight(p + "mlp.gate_proj.weight", {s.ffn, s.hidden});
    list.weight(p + "mlp.up_proj.weight", {s.ffn, s.hidden});
    list.weight(p + "mlp.down_proj.weight", {s.hidden, s.ffn});
    list.add(p + "input_layernorm.weight", {s.hidden}, Fill::kOne);
    list.add(p + "post_attention_layernorm.weight", {s.hidden}, Fill::kOne);
  }
  list.add("tfmr.norm.weight", {s.hidden}, Fill::kOne);
  list.conv("cond_enc.spkr_enc", {s.hidden, sizes.ve.embedding});
  list.weight("cond_enc.emotion_adv_fc.weight", {s.hidden, 1});
  list.add("cond_enc.perceiver.pre_attention_query", {1, 32, s.hidden}, Fill::kNormal, 0.5);
  list.norm("cond_enc.perceiver.attn.norm", s.hidden);
  for (const char* name : {"to_q", "to_k", "to_v", "proj_out"})
    list.conv(std::string("cond_enc.perceiver.attn.") + name, {s.hidden, s.hidden});
  for (const char* name : {"text", "speech"}) {
    const bool text = name[0] == 't';
    const int64_t ids = text ? kTextIds : 8194;
    list.add(std::string(name) + "_emb.weight", {ids, s.hidden}, Fill::kNormal, 0.5);
    list.weight(std::string(name) + "_head.weight", {ids, s.hidden});
    list.add(std::string(name) + "_pos_emb.emb.weight",
             {text ? s.max_text + 2 : s.max_speech + 4, s.hidden}, Fill::kNormal, 0.5);
  }
  return {"t3_cfg.safetensors", std::move(list.tensors), ""};
}

FixtureFile list_voice_encoder(const Sizes& sizes) {
  const auto& s = sizes.ve;
  FixtureList list(DType::kF32);
  for (int64_t layer = 0; layer < 3; ++layer) {
    const std::string l = "_l" + std::to_string(layer);
    list.weight("lstm.weight_ih" + l, {4 * s.hidden, layer == 0 ? 40 : s.hidden});
    list.weight("lstm.weight_hh" + l, {4 * s.hidden, s.hidden});
    list.add("lstm.bias_ih" + l, {4 * s.hidden}, Fill::kSmall);
    list.add("lstm.bias_hh" + l, {4 * s.hidden}, Fill::kSmall);
  }
  list.conv("proj", {s.embedding, s.hidden});
  list.add("similarity_weight", {1}, Fill::kOne);
  list.add("similarity_bias", {1}, Fill::kSmall);
  return {"ve.safetensors", std::move(list.tensors), ""};
}

void list_tokenizer(FixtureList& list, const Sizes& sizes) {
  const int64_t d = sizes.tokenizer.state;
  list.conv("tokenizer.encoder.conv1", {d, 128, 3});
  list.conv("tokenizer.encoder.conv2", {d, d, 3});
  for (int64_t i = 0; i < sizes.tokenizer.layers; ++i) {
    const std::string p = "tokenizer.encoder.blocks." + std::to_string(i) + ".";
    for (const char* name : {"query", "value", "out"}) list.conv(p + "attn." + name, {d, d});
    list.weight(p + "attn.key.weight", {d, d});
    list.weight(p + "attn.fsmn_block.weight", {d, 1, 31});
    list.norm(p + "attn_ln", d);
    list.norm(p + "mlp_ln", d);
    list.conv(p + "mlp.0", {4 * d, d});
    list.conv(p + "mlp.2", {d, 4 * d});
  }
  list.conv("tokenizer.quantizer._codebook.project_down", {8, d});
}

CampplusOptions speaker_options(const Sizes& sizes) {
  CampplusOptions options;
  options.width = sizes.speaker.channels;
  options.growth = sizes.speaker.growth;
  options.bottleneck = sizes.speaker.bottleneck * sizes.speaker.growth;
  options.mask_hidden = options.bottleneck / 2;
  return options;
}

void list_flow_encoder(FixtureList& list, const Sizes& sizes) {
  const auto& s = sizes.flow;
  const std::string e = "flow.encoder.";
  list.add("flow.input_embedding.weight", {6561, s.dim}, Fill::kNormal, 0.5);
  list.conv("flow.spk_embed_affine_layer", {80, 192});
  list.conv("flow.encoder_proj", {80, s.dim});
  for (const std::string embed : {"embed", "up_embed"}) {
    list.conv(e + embed + ".out.0", {s.dim, s.dim});
    list.norm(e + embed + ".out.1", s.dim);
  }
  list.conv(e + "pre_lookahead_layer.conv1", {s.dim, s.dim, 4});
  list.conv(e + "pre_lookahead_layer.conv2", {s.dim, s.dim, 3});
  list.conv(e + "up_layer.conv", {s.dim, s.dim, 5});
  list.norm(e + "after_norm", s.dim);
  for (const bool up : {false, true}) {
    for (int64_t i = 0; i < (up ? s.up_blocks : s.blocks); ++i) {
      const std::string p = e + (up ? "up_encoders." : "encoders.") + std::to_string(i) + ".";
      for (const char* name : {"linear_q", "linear_k", "linear_v", "linear_out"})
        list.conv(p + "self_attn." + name, {s.dim, s.dim});
      list.weight(p + "self_attn.linear_pos.weight", {s.dim, s.dim});
      list.add(p + "self_attn.pos_bias_u", {s.heads, s.dim / s.heads}, Fill::kSmall);
      list.add(p + "self_attn.pos_bias_v", {s.heads, s.dim / s.heads}, Fill::kSmall);
      list.conv(p + "feed_forward.w_1", {s.ffn, s.dim});
      list.conv(p + "feed_forward.w_2", {s.dim, s.ffn});
      list.norm(p + "norm_mha", s.dim);
      list.norm(p + "norm_ff", s.dim);
    }
  }
}

void list_flow_decoder(FixtureList& list, const Sizes& sizes) {
  const auto& s = sizes.flow;
  const int64_t c = s.channels, inner = s.unet_heads * s.unet_head_dim;
  const std::string e = "flow.decoder.estimator.";
  list.conv(e + "time_mlp.linear_1", {4 * c, 320});
  list.conv(e + "time_mlp.linear_2", {4 * c, 4 * c});
  const auto stage = [&](const std::string& p, int64_t in) {
    list.conv(p + "0.mlp.1", {c, 4 * c});
    for (const bool second : {false, true}) {
      const std::string block = p + (second ? "0.block2.block." : "0.block1.block.");
      list.conv(block + "0", {c, second ? c : in, 3});
      list.norm(block + "2", c);
    }
    list.conv(p + "0.res_conv", {c, in, 1});
    for (int64_t i = 0; i < s.stage_blocks; ++i) {
      const std::string t = p + "1." + std::to_string(i) + ".";
      list.norm(t + "norm1", c);
      for (const char* name : {"to_q", "to_k", "to_v"})
        list.weight(t + "attn1." + name + ".weight", {inner, c});
      list.conv(t + "attn1.to_out.0", {c, inner});
      list.norm(t + "norm3", c);
      list.conv(t + "ff.net.0.proj", {4 * c, c});
      list.conv(t + "ff.net.2", {c, 4 * c});
    }
  };
  stage(e + "down_blocks.0.", 320);
  for (int64_t i = 0; i < s.middles; ++i) stage(e + "mid_blocks." + std::to_string(i) + ".", c);
  stage(e + "up_blocks.0.", 2 * c);
  list.conv(e + "down_blocks.0.2", {c, c, 3});
  list.conv(e + "up_blocks.0.2", {c, c, 3});
  list.conv(e + "final_block.block.0", {c, c, 3});
  list.norm(e + "final_block.block.2", c);
  list.conv(e + "final_proj", {80, c, 1});
}

void list_resblock(FixtureList& list, const std::string& p, int64_t channels, int64_t kernel) {
  for (int64_t i = 0; i < 3; ++i) {
    const std::string n = std::to_string(i);
    for (const char* half : {"1", "2"}) {
      list.normed_conv(p + "convs" + half + "." + n, {channels, channels, kernel}, channels);
      list.add(p + "activations" + half + "." + n + ".alpha", {channels}, Fill::kOne);
    }
  }
}

void list_vocoder(FixtureList& list, const Sizes& sizes) {
  const auto& s = sizes.hift;
  const std::string m = "mel2wav.";
  list.normed_conv(m + "conv_pre", {s.channels, 80, 7}, s.channels);
  const int64_t up[] = {16, 11, 7}, down[] = {30, 6, 1}, source[] = {7, 7, 11}, res[] = {3, 7, 11};
  int64_t channels = s.channels;
  for (int64_t i = 0; i < 3; ++i) {
    const std::string n = std::to_string(i);
    list.normed_conv(m + "ups." + n, {channels, channels / 2, up[i]}, channels / 2);
    channels /= 2;
    list.conv(m + "source_downs." + n, {channels, 18, down[i]});
    list_resblock(list, m + "source_resblocks." + n + ".", channels, source[i]);
    for (int64_t k = 0; k < 3; ++k)
      list_resblock(list, m + "resblocks." + std::to_string(3 * i + k) + ".", channels, res[k]);
  }
  list.normed_conv(m + "conv_post", {18, channels, 7}, 18);
  list.conv(m + "m_source.l_linear", {1, 9});
  for (int64_t i = 0; i < 5; ++i)
    list.normed_conv(m + "f0_predictor.condnet." + std::to_string(2 * i),
                     {s.f0_channels, i == 0 ? 80 : s.f0_channels, 3}, s.f0_channels);
  list.conv(m + "f0_predictor.classifier", {1, s.f0_channels});
}

FixtureFile list_s3gen(const Sizes& sizes) {
  FixtureList list(DType::kF32);
  list_tokenizer(list, sizes);
  list_campplus(list, "speaker_encoder.", speaker_options(sizes));
  list_flow_encoder(list, sizes);
  list_flow_decoder(list, sizes);
  list_vocoder(list, sizes);
  return {"s3gen.safetensors", std::move(list.tensors), ""};
}

// A tokenizer of the release's structure: its places for special tokens, marks, letters and pairs,
// with pairs of our own choice.
std::string tokenizer_json() {
  json vocabulary, added = json::array(), merges = json::array();
  const auto special = [&](const std::string& content, int64_t id) {
    vocabulary[content] = id;
    added.push_back({{"id", id},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  };
  special("[STOP]", 0);
  special("[UNK]", 1);
  special("[SPACE]", 2);
  int64_t id = 3;
  for (const char c : std::string("!'(),-./:;?abcdefghijklmnopqrstuvwxyz"))
    vocabulary[std::string(1, c)] = id++;
  const std::string common = "etaoinshrdlucmw";
  for (const char a : common) {
    for (const char b : common) {
      if (id == 255) break;
      merges.push_back(std::string(1, a) + " " + b);
      vocabulary[std::string(1, a) + b] = id++;
    }
  }
  special("[START]", id++);
  for (const char c : std::string("\"#$%&*+0123456789<=>@ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    vocabulary[std::string(1, c)] = id++;
  for (int64_t i = 0; id < kTextIds; ++i) special("[PLACEHOLDER" + std::to_string(i) + "]", id++);
  const json tokenizer = {{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", added},
                          {"normalizer", nullptr},
                          {"pre_tokenizer", {{"type", "Whitespace"}}},
                          {"post_processor", nullptr},
                          {"decoder", nullptr},
                          {"model",
                           {{"type", "BPE"},
                            {"dropout", nullptr},
                            {"unk_token", "[UNK]"},
                            {"continuing_subword_prefix", nullptr},
                            {"end_of_word_suffix", nullptr},
                            {"fuse_unk", false},
                            {"vocab", vocabulary},
                            {"merges", merges}}}};
  return tokenizer.dump(1) + "\n";
}

std::string dims_json(const Sizes& s) {
  const json dims = {{"t3.num_attention_heads", s.t3.heads},
                     {"t3.num_key_value_heads", s.t3.kv_heads},
                     {"t3.head_dim", s.t3.head_dim},
                     {"t3.speech_cond_prompt_len", s.t3.prompt},
                     {"s3tokenizer.n_audio_head", s.tokenizer.heads},
                     {"s3gen.decoder.num_heads", s.flow.unet_heads},
                     {"s3gen.decoder.attention_head_dim", s.flow.unet_head_dim}};
  return dims.dump(1) + "\n";
}

}  // namespace

std::vector<FixtureFile> fixture_files(FixtureSize size) {
  const bool tiny = size == FixtureSize::kTiny;
  const Sizes& sizes = tiny ? kTiny : kRelease;
  std::vector<FixtureFile> files = {list_t3(sizes),
                                    list_voice_encoder(sizes),
                                    list_s3gen(sizes),
                                    {"tokenizer.json", {}, tokenizer_json()}};
  if (tiny) files.push_back({"ttsft_dims.json", {}, dims_json(sizes)});
  return files;
}

}  // namespace ttsft::chatterbox
