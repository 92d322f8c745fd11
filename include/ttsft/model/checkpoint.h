// Which weights a command works on: the release, a checkpoint of the run, or a folder from
// elsewhere.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/io/peft.h"

namespace ttsft {

enum class CheckpointKind {
  kBase,  // the run file's `checkpoint`
  // A PEFT folder, or a file in loralib's form; the base is the run file's `checkpoint`
  kAdapter,
  kFull,  // a complete folder in the released layout
};

struct CheckpointRef {
  std::string name;  // "base", "step-00000100" or the folder's name
  std::filesystem::path folder;
  CheckpointKind kind = CheckpointKind::kBase;
  int64_t step = -1;  // of this run; -1 when it is none
  double alpha = 0;   // of an adapter that does not say its own: the run file's lora.alpha
};

// "base" | "last" | "best" | "step-N" | a folder | a file in loralib's form. UsageError: unknown
// name (those there are listed), empty run, rank or alpha of an adapter that contradict the run
// file's own lora section. `stage` is what it is named for: the lora section speaks of
// train.stage's adapters alone.
CheckpointRef resolve_checkpoint(const RunConfig& config, const std::string& name,
                                 const std::string& stage = "");

// The stage that train recorded beside a checkpoint; "" where it did not.
std::string recorded_stage(const CheckpointRef& checkpoint);

// eval.checkpoints resolved, the base always first, then by step. UsageError: one that is named as,
// or an adapter that was trained for, another stage than train.stage, which is the one measured.
std::vector<CheckpointRef> resolve_checkpoints(const RunConfig& config,
                                               const std::vector<std::string>& names);

// Where the run of a stage lies: the run folder, or, where that holds the run of another stage, a
// folder of the stage's name in it. So one run file serves both: train.stage=flow beside lm.
std::filesystem::path stage_run(const RunConfig& config, const std::string& stage);

// Checkpoints of the run that are complete, by step.
std::vector<CheckpointRef> run_checkpoints(const RunConfig& config);

std::string step_folder_name(int64_t step);  // "step-00000100"

// The step whose validation loss is lowest so far, -1 without validations; kept in run/best.json.
int64_t read_best_step(const std::filesystem::path& run);
void write_best_step(const std::filesystem::path& run, int64_t step, double validation_loss);

}  // namespace ttsft
