// T3 in and out of checkpoint folders.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <string>

#include "models/chatterbox/modules.h"
#include "ttsft/model/write_weights.h"

namespace ttsft::chatterbox {

// Strictly, whatever type the file has.
T3 load_t3(const std::filesystem::path& folder, const T3Config& config, torch::Device device,
           torch::Dtype dtype);

// A complete checkpoint: t3_cfg.safetensors in float32 with every tensor of the base in its order,
// those in `changes` replaced; all other files linked, but for conds.pt and what train keeps for
// itself.
void write_checkpoint(const std::filesystem::path& base, const std::filesystem::path& out,
                      const WeightChanges& changes, Rounding* rounding = nullptr);

}  // namespace ttsft::chatterbox
