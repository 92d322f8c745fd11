#include "ttsft/model/checkpoint_set.h"

#include <algorithm>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/loralib.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// Of an adapter that another tool wrote: the stage that most of its modules belong to.
std::string stage_by_names(const CheckpointRef& adapter, const ModelInfo& info) {
  if (info.stages.size() < 2) return info.stages.empty() ? "" : info.stages.front();
  std::map<std::string, int64_t> votes;
  const AdapterFiles files = open_adapter(adapter.folder, adapter.alpha);
  for (const TensorView& tensor : files.tensors->tensors()) {
    const auto name = parse_peft_name(tensor.name);
    for (const auto& [stage, beginnings] : info.stage_modules) {
      votes[stage] += name && std::any_of(beginnings.begin(), beginnings.end(), [&](const auto& b) {
                        return name->module_path.starts_with(b);
                      });
    }
  }
  const auto most = std::max_element(
      votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == votes.end() || most->second == 0 ? info.stages.front() : most->first;
}

void require_known(const std::string& stage, const std::string& name, const ModelInfo& info) {
  if (std::find(info.stages.begin(), info.stages.end(), stage) != info.stages.end()) return;
  throw UsageError(info.name + " has no stage " + stage, "--checkpoint " + name,
                   "it has: " + join(info.stages, ", "));
}

// One --checkpoint.
struct Part {
  std::string stage;  // "": the base
  CheckpointRef checkpoint;
};

Part resolve_part(const RunConfig& config, const ModelInfo& info, const std::string& name) {
  const auto [wanted, plain] = split_stage(name);
  if (!wanted.empty()) require_known(wanted, name, info);
  RunConfig run = config;
  run.run = stage_run(config, wanted.empty() ? config.train.stage : wanted);
  Part part{wanted, resolve_checkpoint(fs::is_directory(run.run) ? run : config, plain, wanted)};
  const std::string own = stage_of(part.checkpoint, info);
  if (wanted.empty()) {
    part.stage = own;
    if (!own.empty()) require_known(own, name, info);
  } else if (!own.empty() && own != wanted) {
    throw UsageError(part.checkpoint.name + " is of the stage " + own + ", not " + wanted,
                     "--checkpoint " + name, "write --checkpoint " + own + "=" + plain);
  }
  return part;
}

}  // namespace

const CheckpointRef& CheckpointSet::of(const std::string& stage) const {
  const auto own = stages.find(stage);
  return own == stages.end() ? base : own->second;
}

bool CheckpointSet::has_adapter() const {
  return std::any_of(stages.begin(), stages.end(), [](const auto& entry) {
    return entry.second.kind == CheckpointKind::kAdapter;
  });
}

std::string CheckpointSet::name() const {
  if (stages.empty()) return base.name;
  const bool released = base.kind == CheckpointKind::kBase;
  const std::string& only = stages.begin()->second.name;
  if (stages.size() == 1 && (released || only == base.name)) return only;
  std::vector<std::string> parts;
  if (!released) parts.push_back(base.name);
  for (const auto& [stage, checkpoint] : stages) parts.push_back(stage + "=" + checkpoint.name);
  return join(parts, ", ");
}

std::string stage_of(const CheckpointRef& checkpoint, const ModelInfo& info) {
  if (checkpoint.kind == CheckpointKind::kBase) return "";
  const std::string recorded = recorded_stage(checkpoint);
  if (!recorded.empty() || checkpoint.kind == CheckpointKind::kFull) return recorded;
  return stage_by_names(checkpoint, info);
}

CheckpointSet resolve_checkpoint_set(const RunConfig& config, const ModelInfo& info,
                                     const std::vector<std::string>& names) {
  CheckpointSet set{resolve_checkpoint(config, "base"), {}};
  std::set<std::string> named;  // "": the base
  for (const std::string& name : names) {
    Part part = resolve_part(config, info, name);
    const bool released = part.checkpoint.kind == CheckpointKind::kBase;
    if (!named.insert(part.stage).second) {
      throw UsageError(part.stage.empty() ? "two checkpoints of no stage"
                                          : "two checkpoints of the stage " + part.stage,
                       "--checkpoint " + name, "name one of each stage, as STAGE=NAME");
    }
    if (part.stage.empty()) {
      set.base = std::move(part.checkpoint);
    } else if (!released) {
      // Alone it stands for the whole model: what is not its stage's it has from its own base.
      const bool whole = names.size() == 1 && part.checkpoint.kind == CheckpointKind::kFull;
      if (whole) set.base = part.checkpoint;
      set.stages[part.stage] = std::move(part.checkpoint);
    }
  }
  return set;
}

}  // namespace ttsft
