// Codes of clips where they come in: inline in a row, in a shard beside it, in a file of their own.
// Always [T, 37], raw and counted from 0. Specification section 8.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "models/voxtral/config.h"

namespace ttsft::voxtral {

// The key `codes` of a row: a list of frames, or "shard.safetensors#key", whose path starts at the
// working directory or at `folder`. int64. DataError with `where`.
torch::Tensor codes_of_row(const nlohmann::ordered_json& value, const Config& config,
                           const std::filesystem::path& folder, const std::string& where);
nlohmann::ordered_json codes_json(const torch::Tensor& codes);

// A file that holds codes and no sound: .npy, or .safetensors with `codes` as --codes-out writes.
bool is_codes_file(const std::filesystem::path& file);
torch::Tensor read_codes_file(const std::filesystem::path& file, const Config& config);

}  // namespace ttsft::voxtral
