#include "ttsft/model/load_stage.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/nn/device.h"

namespace ttsft {
namespace {

CheckpointRef base_of(const RunConfig& config) {
  return {"base", config.checkpoint, CheckpointKind::kBase, -1};
}

std::unique_ptr<Stage> read_stage(const ModelContext& context, const ModelAdapter& adapter,
                                  const CheckpointRef& checkpoint) {
  require_release(adapter, checkpoint);
  require_stage(context.config, adapter.info());
  std::unique_ptr<Stage> stage = adapter.make_stage(context, checkpoint);
  stage->module().eval();
  return stage;
}

}  // namespace

ModelContext make_context(const RunConfig& config) {
  const torch::Device device = resolve_device(config.device);
  return {config, device, resolve_precision(config.precision, device)};
}

void require_release(const ModelAdapter& adapter, const CheckpointRef& checkpoint) {
  if (checkpoint.kind == CheckpointKind::kAdapter) return;
  if (!adapter.recognise(checkpoint.folder).empty()) return;
  const bool base = checkpoint.kind == CheckpointKind::kBase;
  throw DataError("not a checkpoint of " + adapter.info().title,
                  (base ? "checkpoint: " : "") + checkpoint.folder.string(),
                  base ? "correct `checkpoint` or `model` in the run file" : "");
}

void require_releases(const ModelAdapter& adapter, const CheckpointSet& checkpoints) {
  require_release(adapter, checkpoints.base);
  for (const auto& [stage, checkpoint] : checkpoints.stages) require_release(adapter, checkpoint);
}

void require_stage(const RunConfig& config, const ModelInfo& info) {
  const std::string& stage = config.train.stage;
  if (std::find(info.stages.begin(), info.stages.end(), stage) != info.stages.end()) return;
  throw UsageError(info.name + " has no stage " + stage, "train.stage",
                   "it has: " + join(info.stages, ", "));
}

TargetChoice lora_targets(const RunConfig& config, const ModelInfo& info) {
  TargetChoice targets = config.lora.targets;
  const auto own = info.stage_lora_targets.find(config.train.stage);
  if (own != info.stage_lora_targets.end() && !config.given.contains("lora.targets")) {
    targets.endings = own->second;
    targets.regex.clear();
  }
  return targets;
}

void require_accepted_license(const RunConfig& config, const ModelInfo& info) {
  const License& license = info.license;
  if (license.accept.empty() || config.accept_license == license.accept) return;
  const std::string found =
      config.accept_license.empty() ? "" : " (accept_license: " + config.accept_license + ")";
  throw UsageError(
      "the weights of " + info.title + " are not free for all use: " + license.weights + found,
      config.file.string(),
      "read the licence; if you agree write `accept_license: " + license.accept +
          "` into the run file");
}

LoadedStage load_stage(const ModelContext& context, const ModelAdapter& adapter,
                       const CheckpointRef& checkpoint, double lora_scale) {
  const bool on_base = checkpoint.kind == CheckpointKind::kAdapter;
  LoadedStage loaded;
  loaded.stage = read_stage(context, adapter, on_base ? base_of(context.config) : checkpoint);
  if (on_base) {
    loaded.lora =
        LoraSet::load(loaded.stage->module(), checkpoint.folder, context.device, checkpoint.alpha);
    loaded.lora->set_scale(lora_scale);
  }
  return loaded;
}

void StageLoader::drop_adapter() {
  if (!loaded_.lora) return;
  for (const AdapterSite& site : loaded_.lora->sites()) {
    Linear linear = site.linear;
    linear->lora().reset();
  }
  loaded_.lora.reset();
  lora_folder_.clear();
}

Stage& StageLoader::load(const CheckpointRef& checkpoint, double lora_scale) {
  const bool on_base = checkpoint.kind == CheckpointKind::kAdapter;
  const CheckpointRef weights = on_base ? base_of(context_.config) : checkpoint;
  if (!loaded_.stage || folder_ != weights.folder) {
    loaded_ = {};  // before the next is read: two may not fit
    lora_folder_.clear();
    loaded_.stage = read_stage(context_, adapter_, weights);
    folder_ = weights.folder;
    ++generation_;
  }
  if (!on_base || lora_folder_ != checkpoint.folder) drop_adapter();
  if (!on_base) return *loaded_.stage;
  if (!loaded_.lora) {
    loaded_.lora = LoraSet::load(loaded_.stage->module(), checkpoint.folder, context_.device,
                                 checkpoint.alpha);
    lora_folder_ = checkpoint.folder;
  }
  loaded_.lora->set_scale(lora_scale);
  return *loaded_.stage;
}

}  // namespace ttsft
