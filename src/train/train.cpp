#include "ttsft/train/train.h"

#include <algorithm>
#include <optional>
#include <sstream>

#include "checks.h"
#include "plan.h"
#include "run_folder.h"
#include "trainer.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/voices.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/rng.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

void check_request(const RunConfig& config, const ModelInfo& info) {
  require(config, config.checkpoint, "checkpoint");
  require(config, config.run, "run");
  require(config, config.data.prepared, "data.prepared");
  require_stage(config, info);
  require_accepted_license(config, info);
}

// The set must be split as the run file says, or clips held back would be trained on.
void check_split(const RunConfig& config, const PreparedSet& set) {
  const ValidationChoice& wanted = config.data.validation;
  const ordered_json made = set.index.value("validation", ordered_json::object());
  const bool same =
      wanted.list.empty()
          ? made.contains("share") && made["share"].is_number() && made["share"] == wanted.share
          : made.contains("hash") && made["hash"] == hash_file(wanted.list);
  if (same) return;
  throw UsageError(
      "the prepared set was split with " + made.dump() + ", the run file says " + wanted.dump(),
      "data.validation", "run prep again");
}

CheckpointRef base_checkpoint(const RunConfig& config, const ModelAdapter& adapter) {
  CheckpointRef base = resolve_checkpoint(config, "base");
  require_release(adapter, base);
  log_info(adapter.recognise(base.folder), " in ", base.folder.string());
  return base;
}

std::string fingerprint(const PreparedSet& set) {
  Hasher hasher;
  for (const auto* rows : {&set.train, &set.validation}) {
    hasher.add(std::to_string(rows->size()));
    for (const PreparedRows::Entry& row : rows->entries()) hasher.add(row.id).add(row.key);
  }
  return hasher.hex();
}

SamplerOptions sampler_options(const RunConfig& config) {
  SamplerOptions options;
  options.batch_tokens = config.train.batch_tokens.value_or(0);
  options.batch_utterances = config.train.batch_utterances.value_or(0);
  options.shuffle = config.train.shuffle;
  options.seed = derive_seed(static_cast<uint64_t>(config.seed), "sampler");
  return options;
}

// Where to begin: the state of the earlier run, or the start.
TrainerState first_state(const RunConfig& config, const std::optional<ResumePoint>& resume,
                         const std::string& data) {
  if (!resume) {
    TrainerState state;
    state.data = data;
    return state;
  }
  if (resume->state.data != data) {
    throw UsageError("the prepared set has changed since this run began",
                     config.data.prepared.string(),
                     "name another folder in `run`, or prepare the set as it was");
  }
  log_info("continuing after step ", resume->state.step, " (", resume->checkpoint.string(), ")");
  return resume->state;
}

ordered_json run_result(const RunConfig& config, const Trainer& trainer, int64_t resumed) {
  const TrainerState& state = trainer.state();
  ordered_json result = {{"run", config.run.string()}, {"step", state.step}};
  result["resumed_from"] = resumed > 0 ? ordered_json(resumed) : ordered_json(nullptr);
  result["stopped_early"] = trainer.out_of_patience();
  const ordered_json& row = trainer.last_row();
  result["loss"] = row.contains("loss") ? row["loss"] : ordered_json(nullptr);
  const auto& validations = state.validations;
  result["validation_loss"] =
      validations.empty() ? ordered_json(nullptr) : ordered_json(validations.back().loss);
  const int64_t best = best_checkpoint(config, validations);
  result["best"] = best >= 0 ? ordered_json(step_folder_name(best)) : ordered_json(nullptr);
  result["checkpoints"] = ordered_json::array();
  for (const CheckpointRef& ref : run_checkpoints(config))
    result["checkpoints"].push_back(ref.name);
  return result;
}

std::vector<torch::Tensor> trained_tensors(Stage& stage, const Trainee& trainee) {
  std::vector<torch::Tensor> trained;
  const auto add = [&](const torch::Tensor& tensor) {
    const auto same = [&](const torch::Tensor& known) { return known.is_same(tensor); };
    if (tensor.requires_grad() && std::none_of(trained.begin(), trained.end(), same))
      trained.push_back(tensor);
  };
  for (const torch::Tensor& tensor : stage.module().parameters()) add(tensor);
  if (trainee.lora) {
    for (const auto& [name, tensor] : trainee.lora->parameters()) add(tensor);
  }
  return trained;
}

}  // namespace

ordered_json run_train(const RunConfig& given, const ModelAdapter& adapter,
                       const TrainOptions& options) {
  const ModelInfo& info = adapter.info();
  check_request(given, info);
  // What is recorded and compared is the precision that `auto` means here: on another device it is
  // another run.
  RunConfig config = given;
  config.run = stage_run(given, given.train.stage);
  config.precision = precision_name(make_context(given).dtype);
  config.lora.targets = lora_targets(given, info);
  const ModelContext context = make_context(config);
  const CheckpointRef base = base_checkpoint(config, adapter);
  const FolderLock in_use(config.data.prepared, FolderLock::Mode::kShared);
  const PreparedSet set = PreparedSet::open(config.data.prepared, info.name);
  check_split(config, set);
  const std::vector<LearnedVoice> voices =
      voices_of(set.index.value("speakers", ordered_json::object()));
  if (!voices.empty()) log_info("speakers: ", describe_voices(voices));
  std::optional<RunFolder> folder;
  if (!options.dry_run) folder.emplace(config, options.fresh);
  const auto resume = folder ? folder->resume() : std::nullopt;
  const TrainerState state = first_state(config, resume, fingerprint(set));

  const std::unique_ptr<Stage> stage = adapter.make_stage(context, base);
  Trainee trainee =
      make_trainee(config, *stage, context.device,
                   resume ? resume->checkpoint : std::filesystem::path(), info.peft_task_type);
  set_activation_checkpointing(stage->module(),
                               recomputes_activations(config, context.device.is_cuda()));
  const Samples train = read_samples(*stage, set.train);
  const Samples validation = read_samples(*stage, set.validation);
  const auto replay = open_replay(config.train.replay);
  const auto validation_replay = open_replay(config.eval.replay);
  Feed feed(*stage, train, sampler_options(config), config.train.accumulate, context.device,
            Feed::Purpose::kTraining, replay.get());
  Plan plan = make_plan(config, trainee, train, validation, feed);
  // On paper a GPU is meant: `auto` then is what it is there.
  if (options.dry_run || context.device.is_cuda())
    plan_step(plan, options.dry_run ? given : config, adapter, base, train, feed, context.device);
  log_plan(plan, config, context, info);
  ordered_json result = {{"model", info.name},
                         {"stage", config.train.stage},
                         {"method", config.train.method},
                         {"dry_run", options.dry_run},
                         {"plan", plan_json(plan, config, context, info)}};
  result["speakers"] = set.index.value("speakers", ordered_json::object());
  if (options.dry_run) {
    result["sites"] = trainee.sites;
    return result;
  }

  folder->claim(config);
  const OptimizerConfig& adamw = config.train.optimizer;
  AdamW optimizer(trainee.weights.masters(),
                  {adamw.betas.at(0), adamw.betas.at(1), adamw.eps, adamw.weight_decay});
  if (resume) {
    restore_training(resume->checkpoint, trainee, optimizer);
  } else {
    check_first_step(*stage, train, feed, context.dtype, trained_tensors(*stage, trainee),
                     config.train.checks);
  }
  Trainer trainer(
      {config, context, *stage, trainee, validation, validation_replay.get(), feed, plan},
      optimizer, state);
  trainer.run();
  result.update(run_result(config, trainer, resume ? state.step : 0));
  return result;
}

std::string describe_train(const ordered_json& result) {
  std::ostringstream text;
  const ordered_json& plan = result.at("plan");
  const auto count = [&](const char* key) { return plan.at(key).get<int64_t>(); };
  if (result.at("dry_run").get<bool>()) {
    text << "would train " << result["model"].get<std::string>() << " ("
         << result["method"].get<std::string>() << ") for " << count("steps") << " steps over "
         << count("train_clips") << " clips on " << plan["device"].get<std::string>() << " in "
         << plan["precision"].get<std::string>() << "\n"
         << count("trainable_parameters") << " of " << count("total_parameters")
         << " values, about " << bytes_text(count("memory_bytes"))
         << " for the optimizer and up to " << bytes_text(count("disk_bytes")) << " on disk\n";
    if (plan["gpu_step"].is_object()) {
      const auto step = [&](const char* key) {
        return bytes_text(plan["gpu_step"].at(key).get<int64_t>());
      };
      text << "on a GPU a step takes about " << step("total_bytes") << ": weights "
           << step("weights_bytes") << ", optimizer and gradients " << step("optimizer_bytes")
           << ", activations " << step("activation_bytes") << "\n";
    }
    text << "trained:\n";
    for (const auto& site : result["sites"]) text << "  " << site.get<std::string>() << "\n";
    return text.str();
  }
  const auto step = result.at("step").get<int64_t>();
  text << "trained " << step << " of " << count("steps") << " steps";
  if (result["resumed_from"].is_number())
    text << ", continued after step " << result["resumed_from"];
  if (result["stopped_early"].get<bool>()) text << ", stopped by train.patience";
  text << "\n";
  if (result["loss"].is_number())
    text << "last loss " << number_text(result["loss"], "%.4f") << "\n";
  if (result["validation_loss"].is_number()) {
    text << "validation loss " << number_text(result["validation_loss"], "%.4f") << "\n";
  }
  const auto run = result["run"].get<std::string>();
  if (result["best"].is_string()) text << "best " << result["best"].get<std::string>() << "\n";
  text << result["checkpoints"].size() << " checkpoints in " << run << "/checkpoints, curves in "
       << run << "/tensorboard\n";
  return text.str();
}

}  // namespace ttsft
