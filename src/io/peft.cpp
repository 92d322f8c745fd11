#include "ttsft/io/peft.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kConfigFile = "adapter_config.json";
constexpr std::string_view kNamePrefix = "base_model.model.";
constexpr std::string_view kPeftVersion = "0.21.2";  // whose key list we write

struct CodeFree {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchFree {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
using Code = std::unique_ptr<pcre2_code, CodeFree>;
using Match = std::unique_ptr<pcre2_match_data, MatchFree>;

std::string pcre2_message(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Anchored at both ends, as Python's re.fullmatch.
Code compile(const std::string& regex) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                          PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &error, &offset,
                          nullptr));
  if (!code) {
    throw UsageError("'" + regex + "' is not a regular expression: " + pcre2_message(error) +
                     " at character " + std::to_string(offset + 1));
  }
  return code;
}

bool matches_in_full(const std::string& regex, const std::string& text) {
  const Code code = compile(regex);
  const Match match(pcre2_match_data_create_from_pattern(code.get(), nullptr));
  const int result = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                 0, 0, match.get(), nullptr);
  if (result < 0 && result != PCRE2_ERROR_NOMATCH) {
    throw UsageError("'" + regex + "' cannot be matched: " + pcre2_message(result), text,
                     "write a simpler expression");
  }
  return result >= 0;
}

// null, false, "", [] and {}: how PEFT writes an option that is not in use. A number only tunes an
// option that is switched on by another key, but for the one layer that layers_to_transform names.
bool is_off(const std::string& key, const json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return key != "layers_to_transform";
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();
}

// Keys that do not change what a stored adapter does, whatever their value.
constexpr std::array<std::string_view, 13> kHarmless = {
    "auto_mapping",  "base_model_name_or_path", "corda_config", "ensure_weight_tying",
    "eva_config",    "inference_mode",          "loftq_config", "lora_ga_config",
    "megatron_core", "parent_library",          "peft_version", "qalora_group_size",
    "revision"};

// Initialisations that leave the base weights as they are; the others (PiSSA, OLoRA, LoftQ, ...)
// store an adapter that belongs to a changed base.
bool keeps_base(const json& init) {
  return init.is_boolean() || init.is_null() || init == "gaussian" || init == "eva" ||
         init == "orthogonal";
}

class ConfigReader {
 public:
  ConfigReader(const json& content, const std::filesystem::path& file)
      : content_(content), file_(file) {}

  [[noreturn]] void refuse(const std::string& key, const std::string& reason) const {
    throw DataError(key + ": " + content_.at(key).dump() + " " + reason, file_.string(),
                    "train or save the adapter as plain LoRA");
  }

  const json* find(const char* key) const {
    const auto found = content_.find(key);
    return found == content_.end() || found->is_null() ? nullptr : &*found;
  }

  template <typename T>
  void number(const char* key, T& value) const {
    const json* found = find(key);
    if (!found) return;
    const bool fits = std::is_integral_v<T> ? found->is_number_integer() : found->is_number();
    if (!fits) refuse(key, "is not a number of the kind expected");
    value = found->get<T>();
  }

  void boolean(const char* key, bool& value) const {
    const json* found = find(key);
    if (!found) return;
    if (!found->is_boolean()) refuse(key, "is not true or false");
    value = found->get<bool>();
  }

  void text(const char* key, std::string& value) const {
    const json* found = find(key);
    if (!found) return;
    if (!found->is_string()) refuse(key, "is not a string");
    value = found->get<std::string>();
  }

  LoraTargets targets() const {
    const json* found = find("target_modules");
    if (!found) throw DataError("target_modules is missing", file_.string());
    LoraTargets targets;
    if (found->is_string()) {
      targets.regex = found->get<std::string>();
      if (targets.regex == "all-linear") {
        refuse("target_modules", "depends on the program that reads it; name the modules");
      }
      try {
        compile(targets.regex);
      } catch (const UsageError& error) {
        throw DataError(std::string("target_modules: ") + error.what(), file_.string());
      }
    } else if (found->is_array()) {
      for (const json& ending : *found) {
        if (!ending.is_string()) refuse("target_modules", "is not a list of names");
        targets.endings.push_back(ending.get<std::string>());
      }
    } else {
      refuse("target_modules", "is neither a list of names nor a regular expression");
    }
    if (targets == LoraTargets{}) refuse("target_modules", "names no module");
    return targets;
  }

 private:
  const json& content_;
  const std::filesystem::path& file_;
};

constexpr std::array<std::string_view, 10> kApplied = {
    "r",         "lora_alpha",     "lora_dropout", "use_rslora",        "fan_in_fan_out",
    "peft_type", "target_modules", "task_type",    "init_lora_weights", "bias"};

template <size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool matches(const LoraTargets& targets, const std::string& module_path) {
  if (!targets.regex.empty()) return matches_in_full(targets.regex, module_path);
  return std::any_of(targets.endings.begin(), targets.endings.end(), [&](const std::string& name) {
    return module_path == name || module_path.ends_with("." + name);
  });
}

double PeftConfig::scaling() const {
  const auto rank = static_cast<double>(r);
  return lora_alpha / (use_rslora ? std::sqrt(rank) : rank);
}

PeftConfig read_peft_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kConfigFile;
  json content;
  try {
    content = json::parse(read_text(file));
  } catch (const json::exception& error) {
    throw DataError(std::string("not JSON (") + error.what() + ")", file.string());
  }
  if (!content.is_object()) throw DataError("not a JSON object", file.string());

  const ConfigReader reader(content, file);
  std::string type, bias = "none";
  reader.text("peft_type", type);
  reader.text("bias", bias);
  if (type.empty()) throw DataError("peft_type is missing", file.string());
  if (type != "LORA") reader.refuse("peft_type", "is not LORA, the only kind ttsft reads");
  if (bias != "none") reader.refuse("bias", "trains biases, which ttsft does not apply");
  if (const json* init = reader.find("init_lora_weights"); init && !keeps_base(*init)) {
    reader.refuse("init_lora_weights", "changes the base weights, which ttsft does not apply");
  }
  // Whatever else is switched on, known today or not, would change the result.
  for (const auto& [key, value] : content.items()) {
    if (contains(kApplied, key) || contains(kHarmless, key) || is_off(key, value)) continue;
    reader.refuse(key, "is not applied by ttsft");
  }

  PeftConfig config;
  reader.number("r", config.r);
  reader.number("lora_alpha", config.lora_alpha);
  reader.number("lora_dropout", config.lora_dropout);
  reader.boolean("use_rslora", config.use_rslora);
  reader.boolean("fan_in_fan_out", config.fan_in_fan_out);
  reader.text("base_model_name_or_path", config.base_model_name_or_path);
  config.task_type.clear();
  reader.text("task_type", config.task_type);
  config.target_modules = reader.targets();
  if (config.r < 1) reader.refuse("r", "is not a rank of 1 or more");
  if (config.lora_dropout < 0 || config.lora_dropout >= 1) {
    reader.refuse("lora_dropout", "is not in [0, 1)");
  }
  return config;
}

ordered_json peft_config_json(const PeftConfig& config) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? ordered_json(nullptr) : ordered_json(text);
  };
  const auto whole = static_cast<int64_t>(config.lora_alpha);
  const bool is_whole = static_cast<double>(whole) == config.lora_alpha;
  ordered_json targets = config.target_modules.regex;
  if (config.target_modules.regex.empty()) {  // a set in PEFT
    auto endings = config.target_modules.endings;
    std::sort(endings.begin(), endings.end());
    endings.erase(std::unique(endings.begin(), endings.end()), endings.end());
    targets = endings;
  }
  const ordered_json none = nullptr, empty = ordered_json::object();
  return {{"alora_invocation_tokens", none},
          {"alpha_pattern", empty},
          {"arrow_config", none},
          {"auto_mapping", none},
          {"base_model_name_or_path", text_or_null(config.base_model_name_or_path)},
          {"bias", "none"},
          {"corda_config", none},
          {"ensure_weight_tying", false},
          {"eva_config", none},
          {"exclude_modules", none},
          {"fan_in_fan_out", config.fan_in_fan_out},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"kasa_config", none},
          {"layer_replication", none},
          {"layers_pattern", none},
          {"layers_to_transform", none},
          {"loftq_config", empty},
          {"lora_alpha", is_whole ? ordered_json(whole) : ordered_json(config.lora_alpha)},
          {"lora_bias", false},
          {"lora_dropout", config.lora_dropout},
          {"lora_ga_config", none},
          {"megatron_config", none},
          {"megatron_core", "megatron.core"},
          {"modules_to_save", none},
          {"monteclora_config", none},
          {"peft_type", "LORA"},
          {"peft_version", kPeftVersion},
          {"qalora_group_size", 16},
          {"r", config.r},
          {"rank_pattern", empty},
          {"revision", none},
          {"target_modules", targets},
          {"target_parameters", none},
          {"task_type", text_or_null(config.task_type)},
          {"trainable_token_indices", none},
          {"use_bdlora", none},
          {"use_dora", false},
          {"use_qalora", false},
          {"use_rslora", config.use_rslora},
          {"velora_config", none}};
}

std::string peft_name(const std::string& module_path, char ab, bool embeds) {
  return std::string(kNamePrefix) + module_path +
         (embeds ? std::string(".lora_embedding_") + ab : std::string(".lora_") + ab + ".weight");
}

std::optional<PeftName> parse_peft_name(const std::string& tensor_name) {
  if (!tensor_name.starts_with(kNamePrefix)) return std::nullopt;
  for (const char ab : {'A', 'B'}) {
    for (const bool embeds : {false, true}) {
      const std::string ending = peft_name("", ab, embeds).substr(kNamePrefix.size());
      if (!tensor_name.ends_with(ending)) continue;
      if (tensor_name.size() <= kNamePrefix.size() + ending.size()) return std::nullopt;
      const size_t length = tensor_name.size() - kNamePrefix.size() - ending.size();
      return PeftName{tensor_name.substr(kNamePrefix.size(), length), ab, embeds};
    }
  }
  return std::nullopt;
}

bool is_adapter_folder(const std::filesystem::path& folder) {
  return std::filesystem::is_regular_file(folder / kConfigFile);
}

}  // namespace ttsft
