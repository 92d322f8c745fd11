#include "ttsft/judge/whisper_files.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/judge/whisper_features.h"
#include "ttsft/judge/whisper_model_bin.h"
#include "ttsft/nn/weights.h"

namespace ttsft {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char *kConfig = "config.json";
constexpr const char *kGeneration = "generation_config.json";
constexpr const char *kPreprocessor = "preprocessor_config.json";
constexpr const char *kModelBin = "model.bin";
constexpr const char *kSafetensors = "model.safetensors";
constexpr const char *kIndex = "model.safetensors.index.json";

constexpr int64_t kEnglishVocabulary =
    51864; // of the released models that know English alone
constexpr int64_t kReleasedHeadWidth = 64;

void read_ids(const JsonReader &json, const std::string &key,
              const WhisperOptions &options, std::vector<int64_t> &ids) {
  const Json *list = json.find(key);
  if (!list)
    return;
  if (!list->is_array())
    json.fail(key, "is not a list");
  ids.clear();
  for (const Json &id : *list) {
    if (!id.is_number_integer())
      json.fail(key, "is not a list of token ids");
    if (id < 0 || id >= options.vocabulary)
      json.fail(key, "has the token " + id.dump() + " of " +
                         std::to_string(options.vocabulary));
    ids.push_back(id.get<int64_t>());
  }
}

void check_heads(const WhisperOptions &options, const fs::path &file) {
  for (const int64_t heads : {options.encoder_heads, options.decoder_heads}) {
    if (heads < 1 || options.width % heads != 0) {
      throw DataError("a Whisper of width " + std::to_string(options.width) +
                          " cannot have " + std::to_string(heads) + " heads",
                      file.string(), "copy the file again from the release");
    }
  }
}

// What the features were made with, where the folder tells.
void check_preprocessor(const fs::path &file, const WhisperOptions &options) {
  if (!fs::exists(file))
    return;
  const Json json = read_json_object(file);
  const JsonReader reader(json, file.string());
  reader.require("sampling_rate", kWhisperRate);
  reader.require("n_fft", kWhisperFft);
  reader.require("hop_length", kWhisperHop);
  reader.require("feature_size", options.mels);
}

WhisperOptions options_of_config(const JsonReader &config) {
  config.require("activation_function", "gelu");
  config.require("scale_embedding", false);
  config.require("tie_word_embeddings", true);
  WhisperOptions options;
  options.width = config.positive("d_model");
  options.encoder_layers = config.positive("encoder_layers");
  options.encoder_heads = config.positive("encoder_attention_heads");
  options.encoder_ffn = config.positive("encoder_ffn_dim");
  options.decoder_layers = config.positive("decoder_layers");
  options.decoder_heads = config.positive("decoder_attention_heads");
  options.decoder_ffn = config.positive("decoder_ffn_dim");
  options.mels = config.positive("num_mel_bins");
  options.encoder_positions = config.positive("max_source_positions");
  options.decoder_positions = config.positive("max_target_positions");
  options.vocabulary = config.positive("vocab_size");
  return options;
}

void read_hugging_face(WhisperFolder &whisper) {
  const fs::path file = whisper.folder / kConfig;
  const Json json = read_json_object(file);
  const JsonReader config(json, file.string());
  config.require("model_type", "whisper");
  whisper.options = options_of_config(config);
  whisper.multilingual = whisper.options.vocabulary != kEnglishVocabulary;
  const fs::path generation = whisper.folder / kGeneration;
  const Json rules =
      fs::exists(generation) ? read_json_object(generation) : json;
  const JsonReader reader(rules, fs::exists(generation) ? generation.string()
                                                        : file.string());
  read_ids(reader, "suppress_tokens", whisper.options, whisper.suppressed);
  read_ids(reader, "begin_suppress_tokens", whisper.options,
           whisper.suppressed_first);
  reader.optional("is_multilingual", whisper.multilingual);
  reader.optional("max_initial_timestamp_index", whisper.latest_start);

  auto weights = std::make_shared<SafetensorsReader>(
      SafetensorsReader::open(whisper.folder));
  whisper.weights = weights;
  if (fs::exists(whisper.folder / kSafetensors)) {
    whisper.weight_files = {whisper.folder / kSafetensors};
    return;
  }
  const fs::path index = whisper.folder / kIndex;
  const Json shards = read_json_object(index);
  const JsonReader index_reader(shards, index.string());
  std::set<fs::path> files;
  for (const auto &[name, shard] : index_reader.at("weight_map").items())
    files.insert(whisper.folder / shard.get<std::string>());
  whisper.weight_files = {files.begin(), files.end()};
}

WhisperOptions options_of_shapes(const TensorFile &weights,
                                 const ModelBin &model) {
  const std::string encoder = "model.encoder.", decoder = "model.decoder.";
  const auto rows = [&](const std::string &name) {
    return shape_of(weights, name, 2)[0];
  };
  WhisperOptions options;
  options.width = shape_of(weights, encoder + "conv1.weight", 3)[0];
  options.mels = shape_of(weights, encoder + "conv1.weight", 3)[1];
  options.encoder_positions = rows(encoder + "embed_positions.weight");
  options.decoder_positions = rows(decoder + "embed_positions.weight");
  options.vocabulary = rows(decoder + "embed_tokens.weight");
  options.encoder_layers =
      count_tensors(weights, encoder + "layers.", ".fc1.weight");
  options.decoder_layers =
      count_tensors(weights, decoder + "layers.", ".fc1.weight");
  options.encoder_ffn = rows(encoder + "layers.0.fc1.weight");
  options.decoder_ffn = rows(decoder + "layers.0.fc1.weight");
  const int64_t heads =
      options.width / kReleasedHeadWidth; // files of old versions do not tell
  options.encoder_heads = model.integer("encoder/num_heads").value_or(heads);
  options.decoder_heads = model.integer("decoder/num_heads").value_or(heads);
  return options;
}

// How many tokens CTranslate2's list has; none where there is no list.
std::optional<int64_t> count_vocabulary(const fs::path &folder,
                                        fs::path &file) {
  file = folder / "vocabulary.json";
  if (fs::exists(file)) {
    std::ifstream in(file);
    const Json list = Json::parse(in, nullptr, /*allow_exceptions=*/false);
    if (!list.is_array())
      throw DataError("not a list of tokens", file.string(),
                      "copy it again from the release");
    return std::ssize(list);
  }
  file = folder / "vocabulary.txt";
  if (!fs::exists(file))
    return std::nullopt;
  std::ifstream in(file, std::ios::binary);
  int64_t lines = 0;
  for (std::string line; std::getline(in, line);)
    ++lines;
  return lines;
}

void read_ctranslate2(WhisperFolder &whisper) {
  const fs::path file = whisper.folder / kModelBin;
  const auto model = ModelBin::open(file);
  whisper.weights = hugging_face_tensors(model);
  whisper.weight_files = {file};
  whisper.options = options_of_shapes(*whisper.weights, *model);
  whisper.multilingual = whisper.options.vocabulary != kEnglishVocabulary;
  fs::path list;
  const std::optional<int64_t> tokens = count_vocabulary(whisper.folder, list);
  if (tokens && *tokens != whisper.options.vocabulary) {
    throw DataError("a vocabulary of " + std::to_string(*tokens) +
                        " tokens for a model.bin of " +
                        std::to_string(whisper.options.vocabulary),
                    list.string(), "take all files from one release");
  }
  const Json json = read_json_object(whisper.folder / kConfig);
  const JsonReader config(json, (whisper.folder / kConfig).string());
  read_ids(config, "suppress_ids", whisper.options, whisper.suppressed);
  read_ids(config, "suppress_ids_begin", whisper.options,
           whisper.suppressed_first);
}

} // namespace

bool is_whisper_folder(const fs::path &folder) {
  if (!fs::exists(folder / kConfig))
    return false;
  if (fs::exists(folder / kModelBin))
    return true;
  const Json json = read_json_object(folder / kConfig);
  const auto type = json.find("model_type");
  return type != json.end() && *type == "whisper";
}

WhisperFolder read_whisper_folder(const fs::path &folder) {
  WhisperFolder whisper;
  whisper.folder = folder;
  for (const char *needed : {kConfig, "tokenizer.json"}) {
    if (!fs::exists(folder / needed)) {
      throw DataError(std::string(needed) + " is missing", folder.string(),
                      "copy it from the release of this Whisper");
    }
  }
  if (fs::exists(folder / kModelBin)) {
    read_ctranslate2(whisper);
  } else if (fs::exists(folder / kSafetensors) || fs::exists(folder / kIndex)) {
    read_hugging_face(whisper);
  } else {
    throw DataError("neither model.safetensors nor model.bin is there",
                    folder.string(),
                    "copy the weights from the release of this Whisper");
  }
  check_heads(whisper.options, folder);
  check_preprocessor(folder / kPreprocessor, whisper.options);
  return whisper;
}

Whisper load_whisper(const WhisperFolder &folder, torch::Device device,
                     torch::Dtype dtype) {
  Whisper whisper(folder.options);
  load_strict(*whisper, folder.weights,
              {.device = device,
               .dtype = dtype,
               .prefix = "model.",
               .skip = {{"proj_out.", "the decoder's table of tokens again"}}});
  whisper->eval();
  for (torch::Tensor &parameter : whisper->parameters())
    parameter.set_requires_grad(false);
  return whisper;
}

} // namespace ttsft
