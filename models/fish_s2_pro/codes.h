// Codes of clips: upstream's .npy files ([10, F] int64) and what a row of a source may bring. In
// memory they are [F, 10]. Upstream: tools/vqgan/extract_vq.py.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "models/fish_s2_pro/config.h"

namespace ttsft::fish_s2_pro {

// Where a clip's codes lie in the prepared folder.
std::filesystem::path codes_file(const std::string& id);

// All are [F, 10], int64. DataError with `where`: another shape or type, a code that no level has.
torch::Tensor read_codes(const std::filesystem::path& npy, const Config& config,
                         const std::string& where);
torch::Tensor codes_of_levels(const nlohmann::ordered_json& levels, const Config& config,
                              const std::string& where);
void write_codes(const std::filesystem::path& npy, const torch::Tensor& codes);

// Codes of the levels behind the first that lie beyond their table of `entries`: the codec takes
// its last entry for them.
int64_t codes_beyond(const torch::Tensor& codes, int64_t entries);

}  // namespace ttsft::fish_s2_pro
