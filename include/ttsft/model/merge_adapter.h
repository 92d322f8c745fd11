// A checkpoint that is an adapter, put into the weights below it.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/write_weights.h"

namespace ttsft {

// The folder of the complete checkpoint: the run file's base below an adapter, else its own.
std::filesystem::path base_folder(const RunConfig& run, const CheckpointRef& checkpoint);

// Folds the adapter into the module's weights at that scale and returns the names of the weights
// that changed. Does nothing for a complete checkpoint. DataError: the adapter does not fit.
std::vector<std::string> merge_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint,
                                       double lora_scale, torch::Device device);

// The adapter as synth speaks with it: folded in where weights are float32; beside the weights where
// they are bfloat16, whose steps are wider than much of what a short training changes.
void wear_adapter(torch::nn::Module& module, const CheckpointRef& checkpoint, double lora_scale,
                  torch::Device device, torch::Dtype dtype);

// All weights of a module by name, those in `masters` in their place: what a full checkpoint holds.
WeightChanges full_weights(torch::nn::Module& module,
                           const std::map<std::string, torch::Tensor>& masters);

// The weights that an adapter changes, in float32, each merged on `device` when it is written: what
// an export holds. The module keeps its own weights, so that they may lie in the mapped file, of
// the file's own type. Nothing for a complete checkpoint. DataError: the adapter does not fit.
WeightChanges merged_weights(torch::nn::Module& module, const CheckpointRef& checkpoint,
                             double lora_scale, torch::Device device);

}  // namespace ttsft
