#include "models/chatterbox/config.h"

#include <array>

#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::chatterbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDimsFile = "ttsft_dims.json";
constexpr int64_t kMultilingualVocabulary = 2000;  // 2352 and 2454 ids; English has 704

struct Release {
  const char *file, *name;
};
constexpr std::array<Release, 5> kOthers = {{
    {"t3_turbo_v1.safetensors", "Chatterbox Turbo"},
    {"t3_nano_v1.safetensors", "Chatterbox Nano"},
    {"t3_mtl23ls_v2.safetensors", "Chatterbox Multilingual"},
    {"t3_mtl23ls_v3.safetensors", "Chatterbox Multilingual"},
    {"t3_23lang.safetensors", "Chatterbox Multilingual"},
}};

fs::path weights_file(const fs::path& folder, const std::string& stem) {
  for (const char* ending : {".safetensors", ".pt"}) {
    const fs::path file = folder / (stem + ending);
    if (fs::is_regular_file(file)) return file;
  }
  return {};
}

void read_dims(const fs::path& file, Config& config) {
  if (!fs::exists(file)) return;
  const nlohmann::ordered_json json = read_json_object(file);
  const JsonReader reader(json, file.string());
  reader.optional("t3.num_attention_heads", config.t3.num_attention_heads);
  reader.optional("t3.num_key_value_heads", config.t3.num_key_value_heads);
  reader.optional("t3.head_dim", config.t3.head_dim);
  reader.optional("t3.speech_cond_prompt_len", config.t3.speech_cond_prompt_len);
  reader.optional("s3tokenizer.n_audio_head", config.tokenizer_heads);
  reader.optional("s3gen.decoder.num_heads", config.decoder_heads);
  reader.optional("s3gen.decoder.attention_head_dim", config.decoder_head_dim);
}

void read_shapes(const TensorFile& file, T3Config& t3) {
  const Shape& text = shape_of(file, "text_emb.weight", 2);
  t3.text_vocab = text[0];
  t3.hidden_size = text[1];
  t3.speech_vocab = shape_of(file, "speech_emb.weight", 2)[0];
  t3.vocab_size = shape_of(file, "tfmr.embed_tokens.weight", 2)[0];
  t3.max_text_tokens = shape_of(file, "text_pos_emb.emb.weight", 2)[0] - 2;
  t3.max_speech_tokens = shape_of(file, "speech_pos_emb.emb.weight", 2)[0] - 4;
  t3.speaker_embed_size = shape_of(file, "cond_enc.spkr_enc.weight", 2)[1];
  t3.perceiver_queries = shape_of(file, "cond_enc.perceiver.pre_attention_query", 3)[1];
  t3.num_hidden_layers = count_tensors(file, "tfmr.layers.", ".input_layernorm.weight");
  t3.intermediate_size = shape_of(file, "tfmr.layers.0.mlp.gate_proj.weight", 2)[0];
}

void check(const T3Config& t3, const TensorFile& file) {
  const auto fail = [&](const std::string& what) {
    throw DataError(what, file.path().string(), std::string("correct ") + kDimsFile);
  };
  if (t3.speech_vocab <= kStopSpeech)
    fail("speech_emb has " + std::to_string(t3.speech_vocab) + " rows and the stop code is " +
         std::to_string(kStopSpeech));
  const int64_t queries = file.at("tfmr.layers.0.self_attn.q_proj.weight").shape.at(0);
  const int64_t keys = file.at("tfmr.layers.0.self_attn.k_proj.weight").shape.at(0);
  if (queries != t3.num_attention_heads * t3.head_dim ||
      keys != t3.num_key_value_heads * t3.head_dim)
    fail(std::to_string(t3.num_attention_heads) + " heads and " +
         std::to_string(t3.num_key_value_heads) + " key heads of " + std::to_string(t3.head_dim) +
         " do not fit q_proj of " + std::to_string(queries) + " and k_proj of " +
         std::to_string(keys) + " rows");
  if (t3.num_attention_heads % t3.num_key_value_heads != 0)
    fail("the heads are no multiple of the key heads");
  if (t3.hidden_size % kPerceiverHeads != 0) fail("the perceiver's width has no four heads");
}

}  // namespace

std::string other_release(const fs::path& folder) {
  if (!weights_file(folder, "t3_cfg").empty()) {  // one repository holds several releases
    const auto file = open_weights(folder, "t3_cfg");
    if (file->find("tfmr.wte.weight")) return "Chatterbox Turbo";
    const TensorView* text = file->find("text_emb.weight");
    if (text && text->shape.at(0) > kMultilingualVocabulary) return "Chatterbox Multilingual";
    return "";
  }
  for (const Release& release : kOthers)
    if (fs::exists(folder / release.file)) return release.name;
  return "";
}

std::shared_ptr<const TensorFile> open_weights(const fs::path& folder, const std::string& stem) {
  const fs::path path = weights_file(folder, stem);
  if (path.empty())
    throw DataError(stem + ".safetensors is missing", folder.string(),
                    "download the English release of Chatterbox whole");
  std::shared_ptr<const TensorFile> file = open_tensor_file(path);
  // {"model": [state dict]} and {"model": state dict}.
  for (const std::string prefix : {"model.0.", "model."}) {
    const auto& all = file->tensors();
    if (all.empty() || !all.front().name.starts_with(prefix) ||
        !all.back().name.starts_with(prefix))
      continue;
    auto bare = std::make_shared<DerivedTensors>(file);
    for (TensorView view : all) {
      view.name.erase(0, prefix.size());
      bare->keep(view);
    }
    bare->finish();
    return bare;
  }
  return file;
}

Config read_config(const fs::path& folder) {
  if (const std::string other = other_release(folder); !other.empty())
    throw DataError(other + " is not supported", folder.string(),
                    "take the English release: t3_cfg, s3gen and ve.safetensors, tokenizer.json");
  for (const char* stem : {"s3gen", "ve"}) {
    if (weights_file(folder, stem).empty())
      throw DataError(std::string(stem) + ".safetensors is missing", folder.string(),
                      "download the English release of Chatterbox whole");
  }
  if (!fs::exists(folder / "tokenizer.json"))
    throw DataError("tokenizer.json is missing", folder.string(),
                    "download the English release of Chatterbox whole");
  const auto file = open_weights(folder, "t3_cfg");
  Config config;
  read_dims(folder / kDimsFile, config);
  read_shapes(*file, config.t3);
  check(config.t3, *file);
  return config;
}

}  // namespace ttsft::chatterbox
