#include "models/cosyvoice3/config.h"

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/io/torch_file.h"

namespace ttsft::cosyvoice3 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kYaml = "cosyvoice3.yaml";

// HyperPyYAML: objects are plain maps here, `!ref <key>` is looked up at the top level, and so are
// the factors of `!ref <a> * <b>`.
class Recipe {
 public:
  explicit Recipe(const fs::path& file) : file_(file) {
    try {
      root_ = YAML::LoadFile(file.string());
    } catch (const YAML::Exception& error) {
      throw DataError(std::string("cannot be read: ") + error.what(), file.string(),
                      "copy it again from the release");
    }
    if (!root_.IsMap()) throw DataError("not a map", file.string());
  }

  // The value at a path of keys, or what is there without one.
  template <typename T>
  T get(const std::vector<std::string>& path, T otherwise) const {
    YAML::Node node = YAML::Clone(root_);
    for (const std::string& key : path) {
      if (!node.IsMap() || !node[key]) return otherwise;
      node.reset(node[key]);
    }
    try {
      if (node.Tag() == "!ref") return static_cast<T>(referenced(node.as<std::string>()));
      return node.as<T>();
    } catch (const YAML::Exception&) {
      throw DataError(path.back() + " is not a number", file_.string());
    }
  }

 private:
  double referenced(const std::string& text) const {
    double product = 1;
    for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
      const size_t end = text.find('>', at);
      if (end == std::string::npos) break;
      const YAML::Node value = root_[text.substr(at + 1, end - at - 1)];
      if (!value) throw DataError("!ref " + text + " leads nowhere", file_.string());
      product *= value.as<double>();
    }
    return product;
  }

  fs::path file_;
  YAML::Node root_;
};

void require_files(const fs::path& folder) {
  if (const std::string other = other_release(folder); !other.empty())
    throw DataError(other + " is not supported", folder.string(),
                    "take Fun-CosyVoice3-0.5B-2512: cosyvoice3.yaml, llm.pt, flow.pt, hift.pt");
  for (const char* name : {kYaml, "CosyVoice-BlankEN/config.json"}) {
    if (!fs::is_regular_file(folder / name))
      throw DataError(std::string(name) + " is missing", folder.string(),
                      "copy it from the release");
  }
}

LmConfig read_lm(const fs::path& folder, const TensorFile& llm) {
  const fs::path file = folder / "CosyVoice-BlankEN/config.json";
  const auto json = read_json_object(file);
  const auto number = [&](const char* key) {
    if (!json.contains(key) || !json[key].is_number())
      throw DataError(std::string("no ") + key, file.string(), "copy it again from the release");
    return json[key];
  };
  LmConfig c;
  c.num_attention_heads = number("num_attention_heads").get<int64_t>();
  c.num_key_value_heads = number("num_key_value_heads").get<int64_t>();
  c.rms_norm_eps = number("rms_norm_eps").get<double>();
  c.rope_theta = number("rope_theta").get<double>();
  const std::string layer = "llm.model.model.layers.0.";
  const auto size = [&](const std::string& name, size_t axis) {
    return shape_of(llm, name, 2)[axis];
  };
  c.hidden_size = size("speech_embedding.weight", 1);
  c.codes = size("speech_embedding.weight", 0) - kSpecialRows;
  c.vocab_size = size("llm.model.model.embed_tokens.weight", 0);
  c.intermediate_size = size(layer + "mlp.gate_proj.weight", 0);
  c.num_hidden_layers = count_tensors(llm, "llm.model.model.layers.", ".input_layernorm.weight");
  const int64_t queries = size(layer + "self_attn.q_proj.weight", 0);
  const int64_t keys = size(layer + "self_attn.k_proj.weight", 0);
  c.head_dim = c.num_attention_heads > 0 ? queries / c.num_attention_heads : 0;
  if (c.head_dim * c.num_attention_heads != queries || c.head_dim * c.num_key_value_heads != keys)
    throw DataError("attention of " + std::to_string(queries) + " and " + std::to_string(keys) +
                        " channels in " + std::to_string(c.num_attention_heads) + " and " +
                        std::to_string(c.num_key_value_heads) + " heads",
                    file.string(), "take config.json and llm.pt from one release");
  if (const int64_t rows = size("llm_decoder.weight", 0); rows != c.speech_rows())
    throw DataError("llm_decoder has " + std::to_string(rows) + " rows and speech_embedding " +
                        std::to_string(c.speech_rows()),
                    llm.path().string(), "is this the llm.pt of CosyVoice 3?");
  return c;
}

}  // namespace

std::string other_release(const fs::path& folder) {
  if (fs::exists(folder / kYaml)) return "";
  if (fs::exists(folder / "cosyvoice2.yaml")) return "CosyVoice 2";
  if (fs::exists(folder / "cosyvoice.yaml")) return "CosyVoice 1";
  return "";
}

Config read_config(const fs::path& folder, const std::string& talker) {
  require_files(folder);
  const Recipe recipe(folder / kYaml);
  Config config;
  config.folder = folder;
  config.lm = read_lm(folder, *open_tensor_file(folder / talker));
  const auto stated = recipe.get<int64_t>({"llm", "speech_token_size"}, config.lm.codes);
  if (stated != config.lm.codes)
    log_warning(kYaml, " says speech_token_size ", stated, ", the tensors of ", talker, " have ",
                config.lm.codes, " codes: the tensors are right");
  const auto ras = [&](const char* key, auto otherwise) {
    return recipe.get({"llm", "sampling", key}, otherwise);
  };
  config.ras = {ras("top_p", config.ras.top_p), ras("top_k", config.ras.top_k),
                ras("win_size", config.ras.win_size), ras("tau_r", config.ras.tau_r)};
  FilterConfig& filter = config.filter;
  filter.min_seconds = recipe.get({"filter", "min_length"}, 100.0) / 100;  // of 10 ms
  filter.max_seconds = recipe.get({"filter", "max_length"}, 6000.0) / 100;
  filter.min_text_tokens = recipe.get({"filter", "token_min_length"}, filter.min_text_tokens);
  filter.max_text_tokens = recipe.get({"filter", "token_max_length"}, filter.max_text_tokens);
  const auto mix =
      recipe.get<std::vector<int64_t>>({"llm", "mix_ratio"}, {config.mix_text, config.mix_speech});
  if (mix.size() != 2 || mix[0] < 1 || mix[1] < 1)
    throw DataError("mix_ratio must be two numbers", (folder / kYaml).string());
  config.mix_text = mix[0];
  config.mix_speech = mix[1];
  config.chunk_codes = recipe.get({"chunk_size"}, config.chunk_codes);
  return config;
}

}  // namespace ttsft::cosyvoice3
