// What lies at a path, for `ttsft inspect`.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace ttsft {

// An object with "kind" ("checkpoint", "adapter", "prepared set", "run" or "tensors"), "path" and
// what belongs to the kind. UsageError: nothing there. DataError: nothing that ttsft knows, or a
// file of it is broken.
nlohmann::ordered_json inspect(const std::filesystem::path& path);

// The same in words.
std::string describe_inspection(const nlohmann::ordered_json& found);

}  // namespace ttsft
