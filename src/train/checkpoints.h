// Checkpoints of a run: written whole, pruned as train.keep asks, with the state to go on from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "feed.h"
#include "trainee.h"
#include "ttsft/config/run_config.h"
#include "ttsft/train/optimizer.h"

namespace ttsft {

struct Validation {
  int64_t step = 0;
  double loss = 0;
};

// All that decides what comes next, beside weights and optimizer moments. Dropout draws from a seed
// of its own in every step, so no random state is kept.
struct TrainerState {
  int64_t step = 0;                     // steps done
  Position next;                        // micro-batch of the next step
  std::string data;                     // fingerprint of the prepared set
  std::vector<Validation> validations;  // all so far, by step

  // Validations since the lowest loss; the first of equals counts as the lowest.
  int64_t validations_without_gain() const;
};

// In <checkpoint>/trainer_state: state.json, optimizer.safetensors, and masters.safetensors of a
// full run (a checkpoint may hold rounded weights).
TrainerState read_trainer_state(const std::filesystem::path& checkpoint);  // DataError
bool has_trainer_state(const std::filesystem::path& checkpoint);
void restore_training(const std::filesystem::path& checkpoint, Trainee& trainee, AdamW& optimizer);

// Writes run/checkpoints/step-N, names the best, and removes what train.keep does not want: never
// the best, never the last. Trainer state stays with these two only.
void save_checkpoint(const RunConfig& config, Stage& stage, const Trainee& trainee,
                     const AdamW& optimizer, const TrainerState& state);

// The step of the checkpoint with the lowest validation loss, -1 when none was validated.
int64_t best_checkpoint(const RunConfig& config, const std::vector<Validation>& validations);

}  // namespace ttsft
