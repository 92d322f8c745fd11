#include "models/voxtral/config.h"

#include <charconv>
#include <numeric>

#include "ttsft/core/strings.h"
#include "ttsft/io/json_reader.h"

namespace ttsft::voxtral {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRelease = "take mistralai/Voxtral-4B-TTS-2603";

void read_transformer(const JsonReader& reader, TransformerConfig& c) {
  c.dim = reader.positive("dim");
  c.layers = reader.positive("n_layers");
  c.heads = reader.positive("n_heads");
  c.kv_heads = reader.positive("n_kv_heads");
  c.head_dim = reader.positive("head_dim");
  c.hidden = reader.positive("hidden_dim");
  reader.optional("norm_eps", c.norm_eps);
  reader.require("use_biases", false);
  if (c.heads % c.kv_heads != 0) reader.fail("n_kv_heads", "does not divide n_heads", kRelease);
}

// "2,2,2,2", or a list; where the key is missing, as upstream has it.
std::vector<int64_t> numbers(const JsonReader& reader, const std::string& key,
                             const std::string& otherwise) {
  const Json* found = reader.find(key);
  if (found && found->is_array()) return reader.positives(key);
  std::vector<int64_t> values;
  for (const std::string& part : split(found ? reader.text(key) : otherwise, ',')) {
    const std::string number = trim(part);
    int64_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc() || end != number.data() + number.size() || value < 1)
      reader.fail(key, "is no list of whole numbers", kRelease);
    values.push_back(value);
  }
  return values;
}

CodecHalf read_half(const JsonReader& reader, const std::string& name, const std::string& kernels,
                    const std::string& strides) {
  CodecHalf half;
  half.layers = numbers(reader, name + "_transformer_lengths_str", "2,2,2,2");
  half.kernels = numbers(reader, name + "_convs_kernels_str", kernels);
  half.strides = numbers(reader, name + "_convs_strides_str", strides);
  if (half.kernels.size() != half.layers.size() || half.strides.size() != half.layers.size())
    reader.fail(name + "_convs_kernels_str", "and its strides are not as many as the transformers",
                kRelease);
  for (size_t i = 0; i < half.kernels.size(); ++i)
    if (half.kernels[i] < half.strides[i])
      reader.fail(name + "_convs_strides_str", "has a stride above its kernel", kRelease);
  return half;
}

int64_t product(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{1}, std::multiplies<>());
}

CodecConfig read_codec(const JsonReader& reader) {
  CodecConfig c;
  reader.optional("sampling_rate", c.sample_rate);
  reader.optional("pretransform_patch_size", c.patch);
  reader.optional("patch_proj_kernel_size", c.patch_kernel);
  reader.optional("semantic_codebook_size", c.semantic_codes);
  reader.optional("semantic_dim", c.semantic_dim);
  reader.optional("acoustic_codebook_size", c.levels);
  reader.optional("acoustic_dim", c.acoustic_dim);
  c.dim = reader.positive("dim");
  c.hidden = reader.positive("hidden_dim");
  c.heads = reader.positive("n_heads");
  c.kv_heads = reader.positive("n_kv_heads");
  c.head_dim = reader.positive("head_dim");
  reader.optional("norm_eps", c.norm_eps);
  reader.optional("qk_norm_eps", c.qk_norm_eps);
  reader.optional("attn_sliding_window_size", c.window);
  reader.require("channels", 1);
  reader.require("causal", true);
  reader.require("use_biases", false);
  for (const char* key :
       {"conv_weight_norm", "qk_norm", "layer_scale", "half_attn_window_upon_downsampling"})
    reader.require(key, true);
  c.encoder = read_half(reader, "encoder", "4,4,4,3", "2,2,2,1");
  c.decoder = read_half(reader, "decoder", "3,4,4,4", "1,2,2,2");
  if (product(c.encoder.strides) != product(c.decoder.strides))
    reader.fail("decoder_convs_strides_str", "does not undo the encoder's strides", kRelease);
  // A column is a patch in, and a patch out: both halves begin or end with a plain convolution.
  if (c.decoder.strides.front() != 1 || c.encoder.strides.back() != 1)
    reader.fail("decoder_convs_strides_str", "begins with a stride", kRelease);
  if (c.levels < 2) reader.fail("acoustic_codebook_size", "is below 2", kRelease);
  return c;
}

// The codebooks of the language model must be the codec's. Older files name them in one string.
void check_codebooks(const JsonReader& audio, const CodecConfig& codec) {
  if (audio.find("codebook_sizes")) {
    std::vector<int64_t> wanted(static_cast<size_t>(codec.codebooks()), codec.levels);
    wanted.front() = codec.semantic_codes;
    if (numbers(audio, "codebook_sizes", "") != wanted)
      audio.fail("codebook_sizes", "are others than the codec's", kRelease);
    return;
  }
  audio.require("semantic_codebook_size", codec.semantic_codes);
  audio.require("acoustic_codebook_size", codec.levels);
  audio.require("n_acoustic_codebook", codec.acoustic_dim);
}

}  // namespace

int64_t CodecConfig::columns_per_frame() const {
  return product(decoder.strides);
}

int64_t Config::row_of(int64_t codebook) const {
  if (codebook == 0) return 0;
  return codec.semantic_codes + kSpecials + (codebook - 1) * (codec.levels + kSpecials);
}

int64_t padded_rows(int64_t rows) {
  return (rows + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}

Config read_config(const std::filesystem::path& checkpoint) {
  const std::filesystem::path file = checkpoint / kParamsFile;
  const Json json = read_json_object(file);
  const JsonReader reader(json, file.string());
  Config config;
  read_transformer(reader, config.lm);
  config.vocab_size = reader.positive("vocab_size");
  config.max_positions = 65536;
  reader.optional("max_seq_len", config.max_positions);
  reader.optional("rope_theta", config.rope_theta);
  reader.require("causal", true);
  reader.require("tied_embeddings", true);
  const JsonReader multimodal = reader.section("multimodal");
  config.codec = read_codec(multimodal.section("audio_tokenizer_args"));
  const JsonReader audio = multimodal.section("audio_model_args");
  check_codebooks(audio, config.codec);
  audio.require("input_embedding_concat_type", "sum");
  const JsonReader flow = audio.section("acoustic_transformer_args");
  read_transformer(flow, config.flow);
  flow.optional("sigma", config.flow.sigma);
  flow.optional("sigma_max", config.flow.sigma_max);
  flow.optional("n_decoding_steps", config.flow.steps);
  if (config.flow.dim != config.lm.dim)
    flow.fail("dim", "is another than the backbone's, whose states the semantic head hears",
              kRelease);
  const Json& codec = json["multimodal"]["audio_tokenizer_args"];
  if (const auto voices = codec.find("voice"); voices != codec.end() && voices->is_object()) {
    for (const auto& [name, number] : voices->items())
      if (number.is_number_integer()) config.voices[name] = number.get<int64_t>();
  }
  return config;
}

}  // namespace ttsft::voxtral
