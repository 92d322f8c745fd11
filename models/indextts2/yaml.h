// config.yaml, as upstream reads it with OmegaConf.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace ttsft::indextts2 {

// Maps, lists and scalars, these typed as YAML 1.1 has it (numbers, true/false, null, else text;
// what stands in quotes is text). DataError with the line when it cannot be read or is no map.
nlohmann::ordered_json read_yaml_object(const std::filesystem::path& file);

}  // namespace ttsft::indextts2
