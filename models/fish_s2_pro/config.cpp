#include "models/fish_s2_pro/config.h"

#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"

namespace ttsft::fish_s2_pro {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kRelease = "take fishaudio/s2-pro";

std::string model_type(const Json& json) {
  return json.contains("model_type") && json["model_type"].is_string()
             ? json["model_type"].get<std::string>()
             : "";
}

// n_local_heads and head_dim may be absent, null or -1.
void complete(DecoderConfig& c) {
  if (c.kv_heads <= 0) c.kv_heads = c.heads;
  if (c.head_dim <= 0 && c.heads > 0) c.head_dim = c.dim / c.heads;
}

int64_t or_absent(const Json& json, const std::string& key) {
  return json.contains(key) && json[key].is_number_integer() ? json[key].get<int64_t>() : -1;
}

// Keys of one decoder; `fallback` gives what the fast one does not say.
DecoderConfig read_decoder(const JsonReader& reader, const Json& json, const std::string& prefix,
                           const char* layers, const DecoderConfig* fallback) {
  DecoderConfig c;
  const auto size = [&](const char* key, int64_t otherwise) {
    const int64_t value = or_absent(json, prefix + key);
    if (value > 0) return value;
    return fallback ? otherwise : reader.positive(prefix + key);
  };
  const DecoderConfig none;
  const DecoderConfig& from = fallback ? *fallback : none;
  c.dim = size("dim", from.dim);
  c.heads = size("n_head", from.heads);
  c.intermediate = size("intermediate_size", from.intermediate);
  c.layers = reader.positive(layers);
  c.kv_heads = or_absent(json, prefix + "n_local_heads");
  c.head_dim = or_absent(json, prefix + "head_dim");
  if (fallback && !json.contains(prefix + "n_local_heads")) c.kv_heads = from.kv_heads;
  if (fallback && !json.contains(prefix + "head_dim")) c.head_dim = from.head_dim;
  c.qk_norm = from.qk_norm;
  c.qkv_bias = from.qkv_bias;
  c.o_bias = from.o_bias;
  reader.optional(prefix + "attention_qk_norm", c.qk_norm);
  reader.optional(prefix + "attention_qkv_bias", c.qkv_bias);
  reader.optional(prefix + "attention_o_bias", c.o_bias);
  complete(c);
  return c;
}

void read_nested(const JsonReader& reader, const Json& json, Config& config) {
  const JsonReader text = reader.section("text_config"),
                   audio = reader.section("audio_decoder_config");
  config.slow = read_decoder(text, json["text_config"], "", "n_layer", nullptr);
  config.fast = read_decoder(audio, json["audio_decoder_config"], "", "n_layer", &config.slow);
  config.vocab_size = text.positive("vocab_size");
  config.max_seq_len = text.positive("max_seq_len");
  text.optional("norm_eps", config.norm_eps);
  text.optional("rope_base", config.rope_base);
  text.require("tie_word_embeddings", true);
  config.codebook_size = audio.positive("vocab_size");
  config.codebooks = audio.positive("num_codebooks");
}

void read_flat(const JsonReader& reader, const Json& json, Config& config) {
  config.slow = read_decoder(reader, json, "", "n_layer", nullptr);
  config.fast = read_decoder(reader, json, "fast_", "n_fast_layer", &config.slow);
  config.vocab_size = reader.positive("vocab_size");
  config.max_seq_len = reader.positive("max_seq_len");
  reader.optional("norm_eps", config.norm_eps);
  reader.optional("rope_base", config.rope_base);
  reader.require("tie_word_embeddings", true);
  config.codebook_size = reader.positive("codebook_size");
  config.codebooks = reader.positive("num_codebooks");
  config.scale_codebooks = false;
  reader.optional("scale_codebook_embeddings", config.scale_codebooks);
  bool normed = false;  // what the fast decoder hears
  reader.optional("norm_fastlayer_input", normed);
  if (!normed) reader.fail("norm_fastlayer_input", "must be true", kRelease);
}

}  // namespace

std::string other_release(const fs::path& checkpoint) {
  if (!fs::exists(checkpoint / "config.json")) return "";
  const Json json = read_json_object(checkpoint / "config.json");
  const std::string type = model_type(json);
  if (type == "fish_qwen3_omni" ||
      (type == "dual_ar" && fs::exists(checkpoint / kCodecFile) &&
       fs::exists(checkpoint / kTokenizerFile) && json.value("scale_codebook_embeddings", false)))
    return "";
  if (type == "dual_ar" || type == "naive" || type == "llama") {
    if (!fs::exists(checkpoint / "special_tokens.json") &&
        !fs::exists(checkpoint / "tokenizer.tiktoken"))
      return "fish-speech 1.x";
    return json.value("dim", int64_t{0}) >= 2048 ? "OpenAudio S1" : "OpenAudio S1-mini";
  }
  if (type.find("drama") != std::string::npos) return "Fish Audio Drama 3";
  return "";
}

Config read_config(const fs::path& checkpoint) {
  const fs::path file = checkpoint / "config.json";
  if (const std::string other = other_release(checkpoint); !other.empty())
    throw DataError(other + " is not supported", checkpoint.string(), kRelease);
  const Json json = read_json_object(file);
  const JsonReader reader(json, file.string());
  Config config;
  const std::string type = model_type(json);
  if (type == "fish_qwen3_omni") {
    read_nested(reader, json, config);
  } else if (type == "dual_ar") {
    read_flat(reader, json, config);
  } else {
    throw DataError("model_type '" + type + "' is none of Fish S2 Pro's", file.string(), kRelease);
  }
  return config;
}

CodecHeads read_codec_heads(const fs::path& checkpoint) {
  CodecHeads heads;
  const fs::path file = checkpoint / "ttsft_dims.json";
  if (!fs::exists(file)) return heads;
  const Json json = read_json_object(file);
  const JsonReader codec = JsonReader(json, file.string()).section("codec");
  heads.encoder = codec.positive("encoder_transformer_head_dim");
  heads.quantizer = codec.positive("quantizer_transformer_head_dim");
  return heads;
}

}  // namespace ttsft::fish_s2_pro
