// A checkpoint that is an adapter, put into the weights below it.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/model/checkpoint.h"

namespace ttsft {

// The folder of the complete checkpoint: the run file's base below an adapter, else its own.
std::filesystem::path base_folder(const RunConfig& run, const CheckpointRef& checkpoint);

// Folds the adapter into the module's weights at that scale and returns the names of the weights
// that changed. Does nothing for a complete checkpoint. DataError: the adapter does not fit.
std::vector<std::string> merge_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint,
                                       double lora_scale, torch::Device device);

// All weights of a module by name, those in `masters` in their place: what a full checkpoint holds.
std::map<std::string, torch::Tensor> full_weights(
    torch::nn::Module& module, const std::map<std::string, torch::Tensor>& masters);

// The changed weights of a module after merge_adapter, by name, on the CPU: what an export writes.
std::map<std::string, torch::Tensor> merged_weights(torch::nn::Module& module,
                                                    const CheckpointRef& checkpoint,
                                                    double lora_scale, torch::Device device);

}  // namespace ttsft
