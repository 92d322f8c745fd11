#include "models/qwen3_tts/config.h"

#include <numeric>

#include "models/qwen3_tts/config_parts.h"
#include "ttsft/core/strings.h"

namespace ttsft::qwen3_tts {

namespace {

constexpr int64_t kSuppressedTail = 1024;  // the talker never emits the last ids of its vocabulary

void read_decoder(const JsonReader& json, DecoderConfig& config) {
  config.hidden_size = json.positive("hidden_size");
  config.intermediate_size = json.positive("intermediate_size");
  config.num_hidden_layers = json.positive("num_hidden_layers");
  config.num_attention_heads = json.positive("num_attention_heads");
  config.num_key_value_heads = json.positive("num_key_value_heads");
  config.head_dim = json.positive("head_dim");
  config.vocab_size = json.positive("vocab_size");
  config.rms_norm_eps = json.number("rms_norm_eps");
  config.rope_theta = json.number("rope_theta");
  json.require("hidden_act", "silu");
  json.require("attention_bias", false);
  json.require("use_sliding_window", false);
  check_heads(json, config.num_attention_heads, config.num_key_value_heads, config.head_dim);
  if (json.find("rope_scaling")) {
    // The three rows of "mrope" are equal in this model, so only another scaling would matter.
    const JsonReader scaling = json.section("rope_scaling");
    scaling.require("rope_type", "default");
    scaling.require("type", "default");
  }
}

std::map<std::string, int64_t> read_ids(const JsonReader& json, const char* key, int64_t limit) {
  std::map<std::string, int64_t> ids;
  if (!json.find(key)) return ids;  // null in some third-party files
  const JsonReader entries = json.section(key);
  for (const auto& [name, value] : json.at(key).items()) {
    const int64_t id = entries.integer(name);
    if (id < 0 || id >= limit) {
      entries.fail(name, "id " + std::to_string(id) + " is outside the vocabulary of " +
                             std::to_string(limit));
    }
    ids[to_lower_ascii(name)] = id;
  }
  return ids;
}

// {"eric": "sichuan_dialect", "ryan": false}
std::map<std::string, std::string> read_dialects(const JsonReader& json,
                                                 const TalkerConfig& talker) {
  std::map<std::string, std::string> dialects;
  const char* key = "spk_is_dialect";
  if (!json.find(key)) return dialects;
  const JsonReader entries = json.section(key);
  for (const auto& [name, value] : json.at(key).items()) {
    if (value.is_boolean() || value.is_null()) continue;
    if (!value.is_string()) entries.fail(name, "neither false nor the name of a dialect");
    const std::string dialect = to_lower_ascii(value.get<std::string>());
    if (!talker.codec_language_id.count(dialect)) {
      entries.fail(name, "\"" + dialect + "\" is not in codec_language_id");
    }
    dialects[to_lower_ascii(name)] = dialect;
  }
  return dialects;
}

TalkerConfig read_talker(const JsonReader& json) {
  TalkerConfig talker;
  read_decoder(json, talker);
  talker.text_hidden_size = json.positive("text_hidden_size");
  talker.text_vocab_size = json.positive("text_vocab_size");
  talker.num_code_groups = json.positive("num_code_groups");
  const std::pair<const char*, int64_t*> ids[] = {
      {"codec_pad_id", &talker.codec_pad_id},
      {"codec_bos_id", &talker.codec_bos_id},
      {"codec_eos_token_id", &talker.codec_eos_token_id},
      {"codec_think_id", &talker.codec_think_id},
      {"codec_nothink_id", &talker.codec_nothink_id},
      {"codec_think_bos_id", &talker.codec_think_bos_id},
      {"codec_think_eos_id", &talker.codec_think_eos_id},
  };
  for (const auto& [key, target] : ids) {
    *target = json.integer(key);
    if (*target < 0 || *target >= talker.vocab_size) {
      json.fail(key, "id " + std::to_string(*target) + " is outside the vocabulary of " +
                         std::to_string(talker.vocab_size));
    }
  }
  talker.codec_language_id = read_ids(json, "codec_language_id", talker.vocab_size);
  talker.spk_id = read_ids(json, "spk_id", talker.vocab_size);
  talker.spk_is_dialect = read_dialects(json, talker);

  const JsonReader predictor = json.section("code_predictor_config");
  read_decoder(predictor, talker.code_predictor);
  if (predictor.find("num_code_groups") &&
      predictor.integer("num_code_groups") != talker.num_code_groups) {
    predictor.fail("num_code_groups",
                   "differs from the talker's " + std::to_string(talker.num_code_groups));
  }
  if (talker.num_code_groups < 2) json.fail("num_code_groups", "must be at least 2");
  return talker;
}

SpeakerEncoderConfig read_speaker_encoder(const JsonReader& json) {
  SpeakerEncoderConfig config;
  config.enc_dim = json.positive("enc_dim");
  json.optional("sample_rate", config.sample_rate);
  json.optional("mel_dim", config.mel_dim);
  json.optional("enc_channels", config.enc_channels);
  json.optional("enc_kernel_sizes", config.enc_kernel_sizes);
  json.optional("enc_dilations", config.enc_dilations);
  json.optional("enc_attention_channels", config.enc_attention_channels);
  json.optional("enc_res2net_scale", config.enc_res2net_scale);
  json.optional("enc_se_channels", config.enc_se_channels);

  const size_t stages = config.enc_channels.size();
  if (stages < 3) json.fail("enc_channels", "needs at least 3 stages");
  if (config.enc_kernel_sizes.size() != stages) {
    json.fail("enc_kernel_sizes", "needs as many entries as enc_channels");
  }
  if (config.enc_dilations.size() != stages) {
    json.fail("enc_dilations", "needs as many entries as enc_channels");
  }
  for (size_t i = 1; i + 1 < stages; ++i) {
    if (config.enc_channels[i] % config.enc_res2net_scale != 0) {
      json.fail("enc_channels", std::to_string(config.enc_channels[i]) +
                                    " channels do not split into enc_res2net_scale = " +
                                    std::to_string(config.enc_res2net_scale) + " groups");
    }
    if (config.enc_channels[i] != config.enc_channels[i - 1]) {
      json.fail("enc_channels", "inner stages add their input and must be equally wide");
    }
  }
  const auto first = config.enc_channels.begin() + 1, last = config.enc_channels.end() - 1;
  if (std::accumulate(first, last, int64_t{0}) != *last) {
    json.fail("enc_channels", "the last stage must be as wide as all inner stages together");
  }
  return config;
}

Variant read_variant(const JsonReader& json) {
  const std::string type = json.text("tts_model_type");
  if (type == "base") return Variant::kBase;
  if (type == "custom_voice") return Variant::kCustomVoice;
  if (type == "voice_design") return Variant::kVoiceDesign;
  json.fail("tts_model_type", "is \"" + type + "\"", "known: base, custom_voice, voice_design");
}

Config::Generation read_generation(const std::filesystem::path& file) {
  Config::Generation g;
  if (!std::filesystem::exists(file)) return g;
  const nlohmann::ordered_json json = read_json_object(file);
  const JsonReader top(json, file.string());
  top.optional("do_sample", g.do_sample);
  top.optional("temperature", g.temperature);
  top.optional("top_p", g.top_p);
  top.optional("repetition_penalty", g.repetition_penalty);
  if (top.find("top_k")) g.top_k = top.integer("top_k");  // 0 switches it off
  top.optional("max_new_tokens", g.max_new_tokens);
  top.optional("subtalker_dosample", g.subtalker_dosample);
  top.optional("subtalker_temperature", g.subtalker_temperature);
  top.optional("subtalker_top_p", g.subtalker_top_p);
  if (top.find("subtalker_top_k")) g.subtalker_top_k = top.integer("subtalker_top_k");
  return g;
}

// What the talker, the predictor and the codec must agree on.
void check_agreement(const Config& config, const JsonReader& talker, const JsonReader& predictor) {
  const int64_t codes = config.codec.decoder.codebook_size;
  if (config.talker.num_code_groups != config.codec.encoder_valid_num_quantizers) {
    talker.fail("num_code_groups", "differs from the codec's " +
                                       std::to_string(config.codec.encoder_valid_num_quantizers) +
                                       " quantizers");
  }
  if (config.talker.vocab_size < codes + kSuppressedTail) {
    talker.fail("vocab_size", std::to_string(config.talker.vocab_size) + " leaves no room for " +
                                  std::to_string(codes) + " codes and " +
                                  std::to_string(kSuppressedTail) + " control ids");
  }
  if (config.talker.code_predictor.vocab_size != codes) {
    predictor.fail("vocab_size",
                   "differs from the codec's codebook_size = " + std::to_string(codes));
  }
}

}  // namespace

Config read_config(const std::filesystem::path& checkpoint) {
  const std::filesystem::path file = checkpoint / "config.json";
  Config config;
  config.raw = read_json_object(file);
  const JsonReader top(config.raw, file.string());
  const std::string type = top.text("model_type");
  if (type != "qwen3_tts") {
    top.fail("model_type", "is \"" + type + "\", not \"qwen3_tts\"",
             "name the folder of a Qwen3-TTS checkpoint");
  }
  const std::string tokenizer = top.text("tokenizer_type");
  if (tokenizer != "qwen3_tts_tokenizer_12hz") {
    top.fail("tokenizer_type", "is \"" + tokenizer + "\"",
             "only the 12 Hz tokenizer (qwen3_tts_tokenizer_12hz) is supported");
  }
  config.variant = read_variant(top);
  config.model_size = top.text("tts_model_size");

  const JsonReader talker = top.section("talker_config");
  config.talker = read_talker(talker);
  const std::pair<const char*, int64_t*> ids[] = {
      {"assistant_token_id", &config.assistant_token_id},
      {"im_start_token_id", &config.im_start_token_id},
      {"im_end_token_id", &config.im_end_token_id},
      {"tts_pad_token_id", &config.tts_pad_token_id},
      {"tts_bos_token_id", &config.tts_bos_token_id},
      {"tts_eos_token_id", &config.tts_eos_token_id},
  };
  for (const auto& [key, target] : ids) {
    *target = top.integer(key);
    if (*target < 0 || *target >= config.talker.text_vocab_size) {
      top.fail(key, "id " + std::to_string(*target) + " is outside text_vocab_size = " +
                        std::to_string(config.talker.text_vocab_size));
    }
  }

  // Base has a speaker encoder, and so have fine-tuned checkpoints that kept it. Other releases may
  // carry a configuration that nothing belongs to.
  config.speaker_encoder.enc_dim = config.talker.hidden_size;
  const bool configured = top.find("speaker_encoder_config") != nullptr;
  if (config.has_speaker_encoder() ||
      (configured && top.section("speaker_encoder_config").find("enc_dim"))) {
    const JsonReader speaker = top.section("speaker_encoder_config");
    config.speaker_encoder = read_speaker_encoder(speaker);
    if (config.has_speaker_encoder() &&
        config.speaker_encoder.enc_dim != config.talker.hidden_size) {
      speaker.fail("enc_dim", "differs from the talker's hidden_size = " +
                                  std::to_string(config.talker.hidden_size));
    }
  }
  config.codec = read_codec(checkpoint / "speech_tokenizer" / "config.json");
  config.generation = read_generation(checkpoint / "generation_config.json");
  check_agreement(config, talker, talker.section("code_predictor_config"));
  return config;
}

std::optional<int64_t> TalkerConfig::language_id(const std::string& lower_case) const {
  // As manifests write them.
  static const std::map<std::string, std::string> codes = {
      {"zh", "chinese"}, {"en", "english"}, {"ja", "japanese"},  {"jp", "japanese"},
      {"ko", "korean"},  {"de", "german"},  {"fr", "french"},    {"es", "spanish"},
      {"it", "italian"}, {"ru", "russian"}, {"pt", "portuguese"}};
  auto found = codec_language_id.find(lower_case);
  if (const auto code = codes.find(lower_case);
      found == codec_language_id.end() && code != codes.end())
    found = codec_language_id.find(code->second);
  if (found == codec_language_id.end()) return std::nullopt;
  return found->second;
}

std::string TalkerConfig::language_names() const {
  std::string names = "auto";
  for (const auto& [name, id] : codec_language_id) names += ", " + name;
  return names;
}

}  // namespace ttsft::qwen3_tts
