// Codes and recorded noise on disk.
#pragma once

#include <torch/torch.h>

#include <filesystem>

#include "ttsft/model/synthesizer.h"

namespace ttsft {

// The tensor `codes` of a safetensors file, [F, C] or [F], as int64. DataError: missing, not
// integers, another rank, empty. Their range is the model's affair.
torch::Tensor read_codes(const std::filesystem::path& file);
void write_codes(const std::filesystem::path& file, const torch::Tensor& codes);

// Every tensor of a safetensors file. DataError: none there, one that is not float32 or not finite.
Noise read_noise(const std::filesystem::path& file);

}  // namespace ttsft
