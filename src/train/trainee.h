// What a run trains: LoRA adapters on a frozen stage, or the stage's own weights.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trained_weights.h"
#include "ttsft/config/run_config.h"
#include "ttsft/model/stage.h"
#include "ttsft/nn/lora.h"

namespace ttsft {

struct Trainee {
  std::optional<LoraSet> lora;  // with train.method: lora
  TrainedWeights weights;
  std::vector<std::string> sites;  // dotted paths of the adapters, or names of the trained weights
  int64_t model_values = 0;        // values in the stage's module
  int64_t model_bytes = 0;

  // Into a folder that is to become a checkpoint.
  void save(Stage& stage, const std::filesystem::path& folder) const;
};

// Freezes what is not trained. `resume` is the checkpoint to go on from: its adapters are loaded in
// place of fresh ones; the masters of a full run come with the trainer state (checkpoints.h).
// UsageError: targets without a match, or an adapter in lora.init_from whose rank, alpha or rslora
// the run file contradicts.
Trainee make_trainee(const RunConfig& config, Stage& stage, torch::Device device,
                     const std::filesystem::path& resume,
                     const std::string& task_type = "CAUSAL_LM");

}  // namespace ttsft
