// LoRA adapters in PEFT's folder layout: adapter_config.json beside adapter_model.safetensors.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ttsft {

inline constexpr const char* kAdapterWeights = "adapter_model.safetensors";

// Which modules carry an adapter: PEFT's list of name endings, or one regular expression over the
// whole dotted path.
struct LoraTargets {
  std::vector<std::string> endings;
  std::string regex;  // wins when not empty
  bool operator==(const LoraTargets&) const = default;
};

// True when PEFT would adapt this module: equal to an ending, ends in "." + ending, or matches the
// regex (Python's syntax, as far as PCRE2 shares it) in full. A malformed regex is a UsageError.
bool matches(const LoraTargets& targets, const std::string& module_path);

struct PeftConfig {
  int64_t r = 8;
  double lora_alpha = 8;
  double lora_dropout = 0;
  bool use_rslora = false;
  bool fan_in_fan_out = false;
  LoraTargets target_modules;
  std::string base_model_name_or_path;  // "" is written as null
  std::string task_type = "CAUSAL_LM";  // "" is written as null

  // alpha / r, or alpha / sqrt(r) with rank-stabilised LoRA.
  double scaling() const;
};

// From <folder>/adapter_config.json. Refuses with a DataError what we do not apply (DoRA,
// rank_pattern, bias, modules_to_save, ...), by name.
PeftConfig read_peft_config(const std::filesystem::path& folder);
nlohmann::ordered_json peft_config_json(
    const PeftConfig& config);  // every key that PEFT itself writes

// "base_model.model.<path>.lora_A.weight", of an embedding
// "base_model.model.<path>.lora_embedding_A", and its inverse (nullopt when the name is none of
// these).
std::string peft_name(const std::string& module_path, char ab, bool embeds = false);
struct PeftName {
  std::string module_path;
  char ab;  // 'A' or 'B'
  bool embeds = false;
};
std::optional<PeftName> parse_peft_name(const std::string& tensor_name);

// Holds an adapter_config.json.
bool is_adapter_folder(const std::filesystem::path& folder);

}  // namespace ttsft
