#include "models/indextts2/config.h"

#include "models/indextts2/weights.h"
#include "models/indextts2/yaml.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/tensor_shapes.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.yaml";

[[noreturn]] void refuse(const std::string& release, const fs::path& where) {
  throw DataError(release + " is another model than IndexTTS2", where.string(),
                  "take the release IndexTeam/IndexTTS-2 (version 2.0)");
}

// IndexTTS-2.5 says so by its version or by how it conditions on the speaker.
void check_release(const JsonReader& json, const fs::path& file) {
  if (const auto* version = json.find("version")) {
    const double number = version->is_number() ? version->get<double>() : 0.0;
    if (version->is_number() && number != 2.0) refuse("IndexTTS-" + version->dump(), file);
  }
  const JsonReader gpt = json.section("gpt");
  if (const auto* mode = gpt.find("spk_cond_mode"))
    if (*mode == "campplus") refuse("IndexTTS-2.5", file);
}

// Size of one axis of a tensor that must have `rank` axes.
int64_t axis(const TensorFile& file, const std::string& name, size_t which, size_t rank) {
  return shape_of(file, name, rank)[which];
}

ConditionerConfig read_conditioner(const JsonReader& json, const TensorFile& file,
                                   const std::string& encoder, const std::string& perceiver) {
  json.require("input_layer", "conv2d2");
  ConditionerConfig config{};
  config.output_size = json.positive("output_size");
  config.linear_units = json.positive("linear_units");
  config.attention_heads = json.positive("attention_heads");
  config.num_blocks = json.positive("num_blocks");
  if (config.output_size % config.attention_heads != 0)
    json.fail("attention_heads", "does not divide output_size");
  config.flattened = axis(file, encoder + "embed.out.0.weight", 1, 2);
  config.positions = axis(file, encoder + "embed.pos_enc.pe", 1, 3);
  config.conv_kernel = axis(file, encoder + "encoders.0.conv_module.depthwise_conv.weight", 2, 3);
  config.latents = axis(file, perceiver + "latents", 0, 2);
  config.latent_dim = axis(file, perceiver + "latents", 1, 2);
  config.head_dim = axis(file, perceiver + "layers.0.0.to_q.weight", 0, 2) / config.attention_heads;
  config.inner = axis(file, perceiver + "layers.0.1.2.weight", 1, 2);
  config.depth = count_tensors(file, perceiver + "layers.", ".0.to_q.weight");
  return config;
}

GptConfig read_gpt(const JsonReader& json, const TensorFile& file) {
  GptConfig config{};
  json.require("condition_type", "conformer_perceiver");
  json.require("use_mel_codes_as_input", true);
  json.require("train_solo_embeddings", false);
  config.model_dim = json.positive("model_dim");
  config.layers = json.positive("layers");
  config.heads = json.positive("heads");
  config.max_text_tokens = json.positive("max_text_tokens");
  config.max_mel_tokens = json.positive("max_mel_tokens");
  config.start_mel_token = json.integer("start_mel_token");
  config.stop_mel_token = json.integer("stop_mel_token");
  config.start_text_token = json.integer("start_text_token");
  config.stop_text_token = json.integer("stop_text_token");
  if (config.model_dim % config.heads != 0) json.fail("heads", "does not divide model_dim");
  config.text_vocabulary = axis(file, "text_embedding.weight", 0, 2);
  config.mel_vocabulary = axis(file, "mel_embedding.weight", 0, 2);
  config.text_positions = axis(file, "text_pos_embedding.emb.weight", 0, 2);
  config.mel_positions = axis(file, "mel_pos_embedding.emb.weight", 0, 2);
  config.inner = axis(file, "gpt.h.0.mlp.c_fc.weight", 1, 2);
  config.speeds = axis(file, "speed_emb.weight", 0, 2);
  if (config.mel_vocabulary != json.positive("number_mel_codes"))
    json.fail("number_mel_codes", "mel_embedding of the weights has " +
                                      std::to_string(config.mel_vocabulary) + " rows");
  // Start and stop take two rows more than the tokens of an item.
  if (config.text_positions < config.max_text_tokens + 2)
    json.fail("max_text_tokens", "text_pos_embedding of the weights is shorter");
  if (config.mel_positions < config.max_mel_tokens + 2)
    json.fail("max_mel_tokens", "mel_pos_embedding of the weights is shorter");
  if (config.speeds < 2) throw DataError("speed_emb has fewer than two rows", file.path().string());
  for (const auto& [key, limit] : {std::pair{"start_text_token", config.text_vocabulary},
                                   {"stop_text_token", config.text_vocabulary},
                                   {"start_mel_token", config.mel_vocabulary},
                                   {"stop_mel_token", config.mel_vocabulary}})
    if (json.integer(key) < 0 || json.integer(key) >= limit)
      json.fail(key, "is outside the vocabulary of " + std::to_string(limit));
  config.speaker = read_conditioner(json.section("condition_module"), file, "conditioning_encoder.",
                                    "perceiver_encoder.");
  config.emotion = read_conditioner(json.section("emo_condition_module"), file,
                                    "emo_conditioning_encoder.", "emo_perceiver_encoder.");
  return config;
}

SemanticCodecConfig read_semantic_codec(const JsonReader& json) {
  json.require("num_quantizers", 1);
  json.require("downsample_scale", 1);
  return {json.positive("codebook_size"),          json.positive("hidden_size"),
          json.positive("codebook_dim"),           json.positive("vocos_dim"),
          json.positive("vocos_intermediate_dim"), json.positive("vocos_num_layers")};
}

MelConfig read_mel(const JsonReader& json) {
  const JsonReader spect = json.section("spect_params");
  MelConfig mel{json.positive("sr"),
                spect.positive("n_fft"),
                spect.positive("win_length"),
                spect.positive("hop_length"),
                spect.positive("n_mels"),
                spect.number("fmin"),
                0};
  const auto* fmax = spect.find("fmax");
  if (fmax && *fmax != "None") mel.fmax = spect.number("fmax");  // the word None: no upper limit
  return mel;
}

S2MelConfig read_s2mel(const JsonReader& json) {
  S2MelConfig config{};
  config.mel = read_mel(json.section("preprocess_params"));
  json.require("dit_type", "DiT");
  config.style_dim = json.section("style_encoder").positive("dim");
  const JsonReader regulator = json.section("length_regulator");
  config.regulator_channels = regulator.positive("channels");
  config.regulator_in = regulator.positive("in_channels");
  config.regulator_convs = static_cast<int64_t>(regulator.positives("sampling_ratios").size());
  for (const char* key : {"is_discrete", "vector_quantize", "f0_condition"})
    regulator.require(key, false);
  const JsonReader dit = json.section("DiT");
  config.hidden_dim = dit.positive("hidden_dim");
  config.num_heads = dit.positive("num_heads");
  config.depth = dit.positive("depth");
  config.in_channels = dit.positive("in_channels");
  config.content_dim = dit.positive("content_dim");
  dit.optional("long_skip_connection", config.long_skip_connection);
  dit.optional("uvit_skip_connection", config.uvit_skip_connection);
  dit.require("style_condition", true);
  dit.require("final_layer_type", "wavenet");
  dit.require("target", "mel");
  for (const char* key : {"f0_condition", "is_causal", "zero_prompt_speech_token", "time_as_token",
                          "style_as_token", "add_resblock_in_transformer"})
    dit.require(key, false);
  const JsonReader wavenet = json.section("wavenet");
  config.wavenet_dim = wavenet.positive("hidden_dim");
  config.wavenet_layers = wavenet.positive("num_layers");
  config.wavenet_kernel = wavenet.positive("kernel_size");
  config.wavenet_dilation_rate = wavenet.positive("dilation_rate");
  wavenet.require("style_condition", true);
  if (config.hidden_dim % config.num_heads != 0)
    dit.fail("num_heads", "does not divide hidden_dim");
  return config;
}

fs::path existing(const fs::path& folder, const JsonReader& json, const char* key) {
  const fs::path file = folder / json.text(key);
  if (!fs::is_regular_file(file)) {
    throw DataError(std::string("the checkpoint lacks the file that `") + key + "` names",
                    file.string(), "download IndexTeam/IndexTTS-2 completely");
  }
  return file;
}

nlohmann::ordered_json read_yaml(const fs::path& folder) {
  const fs::path file = folder / kConfigFile;
  if (!fs::is_regular_file(file))
    throw DataError("no config.yaml in the checkpoint", folder.string(),
                    "download IndexTeam/IndexTTS-2 completely");
  return read_yaml_object(file);
}

}  // namespace

Config read_config(const std::filesystem::path& checkpoint) {
  const auto yaml = read_yaml(checkpoint);
  const fs::path file = checkpoint / kConfigFile;
  const JsonReader json(yaml, file.string());
  check_release(json, file);

  Config config{};
  config.folder = checkpoint;
  config.sample_rate = json.section("dataset").positive("sample_rate");
  config.gpt_file = existing(checkpoint, json, "gpt_checkpoint");
  config.s2mel_file = existing(checkpoint, json, "s2mel_checkpoint");
  config.w2v_stats = existing(checkpoint, json, "w2v_stat");
  config.emotion_matrix = existing(checkpoint, json, "emo_matrix");
  config.speaker_matrix = existing(checkpoint, json, "spk_matrix");
  config.bpe_model = existing(checkpoint, json.section("dataset"), "bpe_model");
  config.emotion_groups = json.positives("emo_num");
  const JsonReader vocoder = json.section("vocoder");
  vocoder.require("type", "bigvgan");
  config.vocoder = vocoder.text("name");

  const auto weights = open_gpt(config.gpt_file);
  if (weights->find("spk_emb_proj.weight")) refuse("IndexTTS-2.5", config.gpt_file);
  config.gpt = read_gpt(json.section("gpt"), *weights);
  config.semantic_codec = read_semantic_codec(json.section("semantic_codec"));
  config.s2mel = read_s2mel(json.section("s2mel"));
  return config;
}

std::string recognise_release(const std::filesystem::path& checkpoint) {
  const fs::path file = checkpoint / kConfigFile;
  if (!fs::is_regular_file(file)) return "";
  nlohmann::ordered_json yaml;
  try {
    yaml = read_yaml_object(file);
  } catch (const DataError&) {
    return "";  // some other project's config.yaml
  }
  const bool ours = yaml.contains("gpt") && yaml["gpt"].is_object() && yaml.contains("s2mel") &&
                    yaml.contains("gpt_checkpoint");
  if (!ours) return "";
  const JsonReader json(yaml, file.string());
  check_release(json, file);
  const JsonReader gpt = json.section("gpt");
  return "IndexTTS2 2.0, " + std::to_string(gpt.positive("layers")) + " layers of " +
         std::to_string(gpt.positive("model_dim"));
}

}  // namespace ttsft::indextts2
