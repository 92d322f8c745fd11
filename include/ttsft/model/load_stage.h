// A checkpoint of any kind as a stage that is ready to be looked at, not to be trained.
#pragma once

#include <memory>
#include <optional>

#include "ttsft/model/adapter.h"
#include "ttsft/nn/lora.h"

namespace ttsft {

// What a run file's device and precision mean here.
ModelContext make_context(const RunConfig& config);

// DataError when the folder of a kBase or kFull checkpoint is none of this model's.
void require_release(const ModelAdapter& adapter, const CheckpointRef& checkpoint);
void require_releases(const ModelAdapter& adapter, const CheckpointSet& checkpoints);  // of each

// UsageError when the model has no stage of the name in train.stage.
void require_stage(const RunConfig& config, const ModelInfo& info);

// lora.targets where the run file gives them, else the model's for train.stage.
TargetChoice lora_targets(const RunConfig& config, const ModelInfo& info);

// UsageError, with the line to write, when the weights' licence has to be accepted and the run file
// does not.
void require_accepted_license(const RunConfig& config, const ModelInfo& info);

struct LoadedStage {
  std::unique_ptr<Stage> stage;
  std::optional<LoraSet> lora;  // of a kAdapter checkpoint, on the stage's module, not merged
};

// Dropout is off. lora_scale counts for kAdapter only.
LoadedStage load_stage(const ModelContext& context, const ModelAdapter& adapter,
                       const CheckpointRef& checkpoint, double lora_scale);

// For many checkpoints in turn: while they are the base and its adapters, the base is read once.
class StageLoader {
 public:
  StageLoader(const ModelContext& context, const ModelAdapter& adapter)
      : context_(context), adapter_(adapter) {}

  // Valid until the next call.
  Stage& load(const CheckpointRef& checkpoint, double lora_scale);
  // Counts up when load() had to read a model anew: what was made with the earlier stage is stale.
  int64_t generation() const { return generation_; }

 private:
  void drop_adapter();

  ModelContext context_;
  const ModelAdapter& adapter_;
  LoadedStage loaded_;
  std::filesystem::path folder_;  // of the weights that the stage was read from
  std::filesystem::path lora_folder_;
  int64_t generation_ = 0;
};

}  // namespace ttsft
