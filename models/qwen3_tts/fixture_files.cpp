#include "models/qwen3_tts/fixture_files.h"

#include <functional>

#include "models/qwen3_tts/fixture_text.h"
#include "ttsft/model/fixture_list.h"

namespace ttsft::qwen3_tts {
namespace {

using json = nlohmann::ordered_json;
using Fill = FixtureTensor::Fill;

constexpr int64_t kGroups = 16;

// Every number that a size decides; the rest is the same in all releases.
struct Sizes {
  DType dtype;
  int64_t hidden, ffn, layers, heads, kv_heads, head_dim, text_hidden, text_vocab, first_special;
  int64_t p_hidden, p_ffn, p_layers, p_heads, p_kv_heads, p_head_dim;
  std::vector<int64_t> spk_channels;
  int64_t spk_attention, spk_se;
  int64_t enc_filters, enc_hidden, enc_ffn, enc_layers, enc_heads, enc_head_dim, enc_codebook,
      enc_quantizers;
  int64_t dec_codebook, dec_latent, dec_hidden, dec_ffn, dec_layers, dec_heads, dec_head_dim,
      dec_dim, dec_window;
};

const Sizes& sizes_of(FixtureSize size) {
  static const Sizes tiny{DType::kF32,
                          96,
                          192,
                          2,
                          4,
                          2,
                          24,
                          64,
                          640,
                          560,
                          64,
                          128,
                          2,
                          4,
                          2,
                          16,
                          {16, 16, 16, 16, 48},
                          8,
                          8,
                          4,
                          32,
                          64,
                          2,
                          2,
                          16,
                          8,
                          17,
                          16,
                          32,
                          16,
                          32,
                          2,
                          4,
                          8,
                          32,
                          16};
  static const Sizes release{DType::kBF16,
                             2048,
                             6144,
                             28,
                             16,
                             8,
                             128,
                             2048,
                             151936,
                             151643,
                             1024,
                             3072,
                             5,
                             16,
                             8,
                             128,
                             {512, 512, 512, 512, 1536},
                             128,
                             128,
                             64,
                             512,
                             2048,
                             8,
                             8,
                             64,
                             256,
                             32,
                             512,
                             1024,
                             512,
                             1024,
                             8,
                             16,
                             64,
                             1536,
                             72};
  return size == FixtureSize::kTiny ? tiny : release;
}

// Attention and SwiGLU of one layer, as Qwen3 and the codec's decoder name them.
void list_block(FixtureList& list, const std::string& p, int64_t hidden, int64_t ffn, int64_t q,
                int64_t kv, int64_t qk_norm) {
  list.weight(p + "self_attn.q_proj.weight", {q, hidden});
  list.weight(p + "self_attn.k_proj.weight", {kv, hidden});
  list.weight(p + "self_attn.v_proj.weight", {kv, hidden});
  list.weight(p + "self_attn.o_proj.weight", {hidden, q});
  if (qk_norm) {
    list.add(p + "self_attn.q_norm.weight", {qk_norm}, Fill::kOne);
    list.add(p + "self_attn.k_norm.weight", {qk_norm}, Fill::kOne);
  }
  list.weight(p + "mlp.gate_proj.weight", {ffn, hidden});
  list.weight(p + "mlp.up_proj.weight", {ffn, hidden});
  list.weight(p + "mlp.down_proj.weight", {hidden, ffn});
  list.add(p + "input_layernorm.weight", {hidden}, Fill::kOne);
  list.add(p + "post_attention_layernorm.weight", {hidden}, Fill::kOne);
}

void list_talker(FixtureList& list, const Sizes& s) {
  list.add("talker.model.text_embedding.weight", {s.text_vocab, s.text_hidden}, Fill::kNormal, 1.0);
  list.weight("talker.text_projection.linear_fc1.weight", {s.text_hidden, s.text_hidden});
  list.add("talker.text_projection.linear_fc1.bias", {s.text_hidden}, Fill::kSmall);
  list.weight("talker.text_projection.linear_fc2.weight", {s.hidden, s.text_hidden});
  list.add("talker.text_projection.linear_fc2.bias", {s.hidden}, Fill::kSmall);
  list.add("talker.model.codec_embedding.weight", {3072, s.hidden}, Fill::kNormal, 0.5);
  for (int64_t i = 0; i < s.layers; ++i)
    list_block(list, "talker.model.layers." + std::to_string(i) + ".", s.hidden, s.ffn,
               s.heads * s.head_dim, s.kv_heads * s.head_dim, s.head_dim);
  list.add("talker.model.norm.weight", {s.hidden}, Fill::kOne);
  list.weight("talker.codec_head.weight", {3072, s.hidden});
  const std::string p = "talker.code_predictor.";
  for (int64_t i = 0; i + 1 < kGroups; ++i) {
    list.add(p + "model.codec_embedding." + std::to_string(i) + ".weight", {2048, s.hidden},
             Fill::kNormal, 0.25);
    list.weight(p + "lm_head." + std::to_string(i) + ".weight", {2048, s.p_hidden});
  }
  if (s.p_hidden != s.hidden) list.conv(p + "small_to_mtp_projection", {s.p_hidden, s.hidden});
  for (int64_t i = 0; i < s.p_layers; ++i)
    list_block(list, p + "model.layers." + std::to_string(i) + ".", s.p_hidden, s.p_ffn,
               s.p_heads * s.p_head_dim, s.p_kv_heads * s.p_head_dim, s.p_head_dim);
  list.add(p + "model.norm.weight", {s.p_hidden}, Fill::kOne);
}

void list_speaker_encoder(FixtureList& list, const Sizes& s) {
  const auto& c = s.spk_channels;
  const std::string p = "speaker_encoder.";
  constexpr int64_t kScale = 8;
  list.conv(p + "blocks.0.conv", {c[0], 128, 5});
  for (size_t b = 1; b <= 3; ++b) {
    const std::string block = p + "blocks." + std::to_string(b) + ".";
    list.conv(block + "tdnn1.conv", {c[b], c[b - 1], 1});
    list.conv(block + "tdnn2.conv", {c[b], c[b], 1});
    for (int64_t i = 0; i + 1 < kScale; ++i)
      list.conv(block + "res2net_block.blocks." + std::to_string(i) + ".conv",
                {c[b] / kScale, c[b] / kScale, 3});
    list.conv(block + "se_block.conv1", {s.spk_se, c[b], 1});
    list.conv(block + "se_block.conv2", {c[b], s.spk_se, 1});
  }
  list.conv(p + "mfa.conv", {c[4], c[1] + c[2] + c[3], 1});
  list.conv(p + "asp.tdnn.conv", {s.spk_attention, 3 * c[4], 1});
  list.conv(p + "asp.conv", {c[4], s.spk_attention, 1});
  list.conv(p + "fc", {s.hidden, 2 * c[4], 1});
}

void list_codec_encoder(FixtureList& list, const Sizes& s) {
  const std::string p = "encoder.";
  int64_t c = s.enc_filters;
  list.conv(p + "encoder.layers.0.conv", {c, 1, 7});
  int64_t layer = 1;
  for (int64_t rate : {4, 5, 6, 8}) {
    list.conv(p + "encoder.layers." + std::to_string(layer) + ".block.1.conv", {c / 2, c, 3});
    list.conv(p + "encoder.layers." + std::to_string(layer) + ".block.3.conv", {c, c / 2, 1});
    list.conv(p + "encoder.layers." + std::to_string(layer + 2) + ".conv", {2 * c, c, 2 * rate});
    c *= 2;
    layer += 3;
  }
  list.conv(p + "encoder.layers.14.conv", {s.enc_hidden, c, 3});
  const int64_t d = s.enc_hidden, q = s.enc_heads * s.enc_head_dim;
  for (int64_t i = 0; i < s.enc_layers; ++i) {
    const std::string block = p + "encoder_transformer.layers." + std::to_string(i) + ".";
    for (const char* name : {"q_proj", "k_proj", "v_proj"})
      list.weight(block + "self_attn." + name + ".weight", {q, d});
    list.weight(block + "self_attn.o_proj.weight", {d, q});
    list.weight(block + "mlp.fc1.weight", {s.enc_ffn, d});
    list.weight(block + "mlp.fc2.weight", {d, s.enc_ffn});
    for (const char* name : {"input_layernorm", "post_attention_layernorm"}) {
      list.add(block + name + ".weight", {d}, Fill::kOne);
      list.add(block + name + ".bias", {d}, Fill::kSmall);
    }
    list.add(block + "self_attn_layer_scale.scale", {d}, Fill::kOne);
    list.add(block + "mlp_layer_scale.scale", {d}, Fill::kOne);
  }
  list.weight(p + "downsample.conv.weight", {d, d, 4});
  const auto quantizer = [&](const std::string& name, int64_t levels) {
    const std::string base = p + "quantizer." + name + "_residual_vector_quantizer.";
    list.weight(base + "input_proj.weight", {s.enc_codebook, d, 1});
    list.weight(base + "output_proj.weight", {d, s.enc_codebook, 1});
    for (int64_t i = 0; i < levels; ++i) {
      const std::string book = base + "layers." + std::to_string(i) + ".codebook.";
      list.add(book + "embed_sum", {2048, s.enc_codebook}, Fill::kNormal, 1.0);
      list.add(book + "cluster_usage", {2048}, Fill::kCount);
      list.add(book + "initialized", {1}, Fill::kOne);
    }
  };
  quantizer("semantic", 1);
  quantizer("acoustic", s.enc_quantizers - 1);
}

void list_codec_decoder(FixtureList& list, const Sizes& s) {
  const std::string p = "decoder.";
  const int64_t book = s.dec_codebook / 2, width = s.dec_codebook;
  const auto quantizer = [&](const std::string& name, int64_t levels) {
    const std::string base = p + "quantizer." + name + ".";
    list.weight(base + "input_proj.weight", {book, width, 1});
    list.weight(base + "output_proj.weight", {width, book, 1});
    for (int64_t i = 0; i < levels; ++i) {
      list.add(base + "vq.layers." + std::to_string(i) + "._codebook.embedding_sum", {2048, book},
               Fill::kNormal, 1.0);
      list.add(base + "vq.layers." + std::to_string(i) + "._codebook.cluster_usage", {2048},
               Fill::kCount);
    }
  };
  quantizer("rvq_first", 1);
  quantizer("rvq_rest", kGroups - 1);
  list.conv(p + "pre_conv.conv", {s.dec_latent, width, 3});
  const std::string t = p + "pre_transformer.";
  list.conv(t + "input_proj", {s.dec_hidden, s.dec_latent});
  list.conv(t + "output_proj", {s.dec_latent, s.dec_hidden});
  for (int64_t i = 0; i < s.dec_layers; ++i) {
    const std::string block = t + "layers." + std::to_string(i) + ".";
    const int64_t q = s.dec_heads * s.dec_head_dim;
    list_block(list, block, s.dec_hidden, s.dec_ffn, q, q, 0);
    list.add(block + "self_attn_layer_scale.scale", {s.dec_hidden}, Fill::kOne);
    list.add(block + "mlp_layer_scale.scale", {s.dec_hidden}, Fill::kOne);
  }
  list.add(t + "norm.weight", {s.dec_hidden}, Fill::kOne);
  for (int64_t i = 0; i < 2; ++i) {
    const std::string u = p + "upsample." + std::to_string(i) + ".";
    list.conv(u + "0.conv", {s.dec_latent, s.dec_latent, 2});
    list.conv(u + "1.dwconv.conv", {s.dec_latent, 1, 7});
    list.add(u + "1.norm.weight", {s.dec_latent}, Fill::kOne);
    list.add(u + "1.norm.bias", {s.dec_latent}, Fill::kSmall);
    list.conv(u + "1.pwconv1", {4 * s.dec_latent, s.dec_latent});
    list.conv(u + "1.pwconv2", {s.dec_latent, 4 * s.dec_latent});
    list.add(u + "1.gamma", {s.dec_latent}, Fill::kOne);
  }
  const auto snake = [&](const std::string& name, int64_t channels) {
    list.add(name + ".alpha", {channels}, Fill::kSmall);
    list.add(name + ".beta", {channels}, Fill::kSmall);
  };
  list.conv(p + "decoder.0.conv", {s.dec_dim, s.dec_latent, 7});
  int64_t c = s.dec_dim, index = 1;
  for (int64_t rate : {8, 5, 4, 3}) {
    const std::string block = p + "decoder." + std::to_string(index++) + ".block.";
    snake(block + "0", c);
    list.weight(block + "1.conv.weight", {c, c / 2, 2 * rate});
    list.add(block + "1.conv.bias", {c / 2}, Fill::kSmall);
    c /= 2;
    for (int64_t unit = 2; unit <= 4; ++unit) {
      const std::string u = block + std::to_string(unit) + ".";
      snake(u + "act1", c);
      list.conv(u + "conv1.conv", {c, c, 7});
      snake(u + "act2", c);
      list.conv(u + "conv2.conv", {c, c, 1});
    }
  }
  snake(p + "decoder.5", c);
  list.conv(p + "decoder.6.conv", {1, c, 7});
}

json model_config(FixtureSize size, const Sizes& s, const FixtureText& text) {
  const auto decoder = [](int64_t hidden, int64_t ffn, int64_t layers, int64_t heads, int64_t kv,
                          int64_t head_dim, int64_t vocab) {
    return json{
        {"attention_bias", false},     {"attention_dropout", 0},       {"head_dim", head_dim},
        {"hidden_act", "silu"},        {"hidden_size", hidden},        {"initializer_range", 0.02},
        {"intermediate_size", ffn},    {"num_attention_heads", heads}, {"num_code_groups", kGroups},
        {"num_hidden_layers", layers}, {"num_key_value_heads", kv},    {"rms_norm_eps", 1e-6},
        {"rope_theta", 1000000},       {"sliding_window", nullptr},    {"use_cache", true},
        {"use_sliding_window", false}, {"vocab_size", vocab}};
  };
  json predictor =
      decoder(s.p_hidden, s.p_ffn, s.p_layers, s.p_heads, s.p_kv_heads, s.p_head_dim, 2048);
  predictor["model_type"] = "qwen3_tts_talker_code_predictor";
  predictor["max_position_embeddings"] = 65536;
  predictor["max_window_layers"] = 28;
  predictor["rope_scaling"] = nullptr;
  predictor["tie_word_embeddings"] = false;
  predictor["layer_types"] =
      std::vector<std::string>(static_cast<size_t>(s.p_layers), "full_attention");
  json talker = decoder(s.hidden, s.ffn, s.layers, s.heads, s.kv_heads, s.head_dim, 3072);
  talker["model_type"] = "qwen3_tts_talker";
  talker["code_predictor_config"] = predictor;
  talker["max_position_embeddings"] = 32768;
  talker["position_id_per_seconds"] = 13;
  const int64_t third = s.head_dim / 2 * 5 / 16, rest = s.head_dim / 2 - 2 * third;
  talker["rope_scaling"] = {{"interleaved", true},
                            {"mrope_section", {rest, third, third}},
                            {"rope_type", "default"},
                            {"type", "default"}};
  talker["text_hidden_size"] = s.text_hidden;
  talker["text_vocab_size"] = s.text_vocab;
  talker.update({{"codec_pad_id", 2148},
                 {"codec_bos_id", 2149},
                 {"codec_eos_token_id", 2150},
                 {"codec_think_id", 2154},
                 {"codec_nothink_id", 2155},
                 {"codec_think_bos_id", 2156},
                 {"codec_think_eos_id", 2157}});
  talker["codec_language_id"] = {{"chinese", 2055},  {"english", 2050},    {"german", 2053},
                                 {"italian", 2070},  {"portuguese", 2071}, {"spanish", 2054},
                                 {"japanese", 2058}, {"korean", 2064},     {"french", 2061},
                                 {"russian", 2069}};
  talker["spk_id"] = json::object();
  talker["spk_is_dialect"] = json::object();
  json config{{"architectures", {"Qwen3TTSForConditionalGeneration"}}};
  config["assistant_token_id"] = text.assistant_id;
  config["im_end_token_id"] = s.first_special + 2;
  config["im_start_token_id"] = s.first_special + 1;
  config["tts_bos_token_id"] = text.tts_bos_id;
  config["tts_eos_token_id"] = text.tts_bos_id + 1;
  config["tts_pad_token_id"] = text.tts_bos_id - 1;
  config["model_type"] = "qwen3_tts";
  config["tokenizer_type"] = "qwen3_tts_tokenizer_12hz";
  config["tts_model_size"] = "1b7";
  config["tts_model_type"] = "base";
  config["speaker_encoder_config"] = {{"enc_dim", s.hidden}, {"sample_rate", 24000}};
  if (size == FixtureSize::kTiny) {  // the release leaves these to upstream's defaults
    config["speaker_encoder_config"].update({{"enc_channels", s.spk_channels},
                                             {"enc_attention_channels", s.spk_attention},
                                             {"enc_se_channels", s.spk_se},
                                             {"enc_res2net_scale", 8},
                                             {"enc_kernel_sizes", {5, 3, 3, 3, 1}},
                                             {"enc_dilations", {1, 2, 3, 4, 1}},
                                             {"mel_dim", 128}});
  }
  config["talker_config"] = talker;
  config["transformers_version"] = "4.57.3";
  return config;
}

json codec_config(const Sizes& s) {
  json encoder{{"_frame_rate", 12.5},
               {"attention_bias", false},
               {"attention_dropout", 0.0},
               {"audio_channels", 1},
               {"codebook_size", 2048},
               {"compress", 2},
               {"dilation_growth_rate", 2},
               {"hidden_act", "gelu"},
               {"kernel_size", 7},
               {"last_kernel_size", 3},
               {"layer_scale_initial_scale", 0.01},
               {"max_position_embeddings", 8000},
               {"norm_eps", 1e-5},
               {"normalize", false},
               {"num_residual_layers", 1},
               {"num_semantic_quantizers", 1},
               {"pad_mode", "constant"},
               {"residual_kernel_size", 3},
               {"rope_theta", 10000.0},
               {"sampling_rate", 24000},
               {"trim_right_ratio", 1.0},
               {"upsampling_ratios", {8, 6, 5, 4}},
               {"use_causal_conv", true},
               {"use_conv_shortcut", false},
               {"use_streaming", false},
               {"sliding_window", 250}};
  encoder.update({{"num_filters", s.enc_filters},
                  {"hidden_size", s.enc_hidden},
                  {"intermediate_size", s.enc_ffn},
                  {"num_hidden_layers", s.enc_layers},
                  {"num_attention_heads", s.enc_heads},
                  {"num_key_value_heads", s.enc_heads},
                  {"head_dim", s.enc_head_dim},
                  {"codebook_dim", s.enc_codebook},
                  {"num_quantizers", s.enc_quantizers},
                  {"vector_quantization_hidden_dimension", s.enc_codebook}});
  json decoder{{"attention_bias", false},
               {"attention_dropout", 0.0},
               {"codebook_size", 2048},
               {"hidden_act", "silu"},
               {"layer_scale_initial_scale", 0.01},
               {"max_position_embeddings", 8000},
               {"num_quantizers", kGroups},
               {"num_semantic_quantizers", 1},
               {"rms_norm_eps", 1e-5},
               {"rope_theta", 10000},
               {"semantic_codebook_size", 4096},
               {"upsample_rates", {8, 5, 4, 3}},
               {"upsampling_ratios", {2, 2}}};
  decoder.update({{"codebook_dim", s.dec_codebook},
                  {"latent_dim", s.dec_latent},
                  {"hidden_size", s.dec_hidden},
                  {"intermediate_size", s.dec_ffn},
                  {"num_hidden_layers", s.dec_layers},
                  {"num_attention_heads", s.dec_heads},
                  {"num_key_value_heads", s.dec_heads},
                  {"head_dim", s.dec_head_dim},
                  {"decoder_dim", s.dec_dim},
                  {"sliding_window", s.dec_window},
                  {"vector_quantization_hidden_dimension", s.dec_codebook}});
  return json{{"architectures", {"Qwen3TTSTokenizerV2Model"}},
              {"model_type", "qwen3_tts_tokenizer_12hz"},
              {"encoder_valid_num_quantizers", 16},
              {"input_sample_rate", 24000},
              {"output_sample_rate", 24000},
              {"decode_upsample_rate", 1920},
              {"encode_downsample_rate", 1920},
              {"decoder_config", decoder},
              {"encoder_config", encoder},
              {"transformers_version", "4.57.3"}};
}

const json kGeneration{{"do_sample", true},
                       {"repetition_penalty", 1.05},
                       {"temperature", 0.9},
                       {"top_p", 1.0},
                       {"top_k", 50},
                       {"subtalker_dosample", true},
                       {"subtalker_temperature", 0.9},
                       {"subtalker_top_p", 1.0},
                       {"subtalker_top_k", 50},
                       {"max_new_tokens", 8192}};
const json kProcessor{{"padding_side", "left"},
                      {"padding_value", 0.0},
                      {"processor_class", "Qwen3TTSProcessor"},
                      {"return_attention_mask", true}};
const json kFeatureExtractor{{"chunk_length_s", nullptr},
                             {"feature_extractor_type", "EncodecFeatureExtractor"},
                             {"feature_size", 1},
                             {"overlap", nullptr},
                             {"padding_side", "right"},
                             {"padding_value", 0.0},
                             {"return_attention_mask", true},
                             {"sampling_rate", 24000}};

}  // namespace

std::vector<FixtureFile> fixture_files(FixtureSize size) {
  const Sizes& s = sizes_of(size);
  const FixtureText text = fixture_text(s.first_special);
  FixtureList model(s.dtype), codec(DType::kF32);
  list_talker(model, s);
  list_speaker_encoder(model, s);
  list_codec_encoder(codec, s);
  list_codec_decoder(codec, s);
  const auto file = [](const std::string& path, const json& content) {
    return FixtureFile{path, {}, content.dump(1) + "\n"};
  };
  return {{"model.safetensors", std::move(model.tensors), ""},
          {"speech_tokenizer/model.safetensors", std::move(codec.tensors), ""},
          file("config.json", model_config(size, s, text)),
          file("generation_config.json", kGeneration),
          file("preprocessor_config.json", kProcessor),
          file("speech_tokenizer/config.json", codec_config(s)),
          file("speech_tokenizer/preprocessor_config.json", kFeatureExtractor),
          {"vocab.json", {}, text.vocab},
          {"merges.txt", {}, text.merges},
          {"tokenizer_config.json", {}, text.tokenizer_config}};
}

}  // namespace ttsft::qwen3_tts
