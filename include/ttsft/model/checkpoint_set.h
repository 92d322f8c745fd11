// The weights of a whole model: a complete folder, and for each stage that was trained apart a
// checkpoint of its own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ttsft/model/checkpoint.h"
#include "ttsft/model/info.h"

namespace ttsft {

struct CheckpointSet {
  CheckpointRef base;                           // kBase or kFull: all that no stage brings
  std::map<std::string, CheckpointRef> stages;  // kAdapter, or kFull: that stage's files alone

  // The stage's own checkpoint, else the base. An adapter's base is the run file's `checkpoint`
  // (base_folder).
  const CheckpointRef& of(const std::string& stage) const;
  bool has_adapter() const;
  std::string name() const;  // "base", "step-00000100", "lm=step-00000100, flow=mine"
};

// --checkpoint: each of `names` is what resolve_checkpoint takes, or STAGE=that. Without STAGE= a
// checkpoint is of the stage that its folder says: by config.resolved.yaml, an adapter from
// elsewhere by the names of its tensors. A complete folder that says none is the base; so is one
// that is named alone, for it holds the other stages too. Nothing named: the run file's
// `checkpoint`.
// UsageError: a stage that the model lacks (those it has are listed), two checkpoints of one stage,
// a checkpoint of another stage than the one it is named for.
CheckpointSet resolve_checkpoint_set(const RunConfig& config, const ModelInfo& info,
                                     const std::vector<std::string>& names);

// The stage that a checkpoint was trained for; "" for the base and a complete folder that does not
// say.
std::string stage_of(const CheckpointRef& checkpoint, const ModelInfo& info);

}  // namespace ttsft
