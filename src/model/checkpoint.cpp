#include "ttsft/model/checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/loralib.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBestFile = "best.json";
constexpr const char* kResolvedConfig = "config.resolved.yaml";

// The number of "step-100" or "step-00000100".
std::optional<int64_t> parse_step(std::string_view name) {
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size() || step < 0) return std::nullopt;
  return step;
}

bool holds_weights(const fs::path& folder) {
  constexpr std::array<std::string_view, 4> kEndings = {".safetensors", ".pt", ".pth", ".bin"};
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string ending = entry.path().extension().string();
    if (std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end()) return true;
  }
  return false;
}

// What lies in a folder; nothing when it is no whole checkpoint.
std::optional<CheckpointKind> kind_of(const fs::path& folder) {
  const bool weights = fs::exists(folder / kAdapterWeights);
  if (weights && is_adapter_folder(folder)) return CheckpointKind::kAdapter;
  if (weights || is_adapter_folder(folder)) return std::nullopt;
  if (holds_weights(folder)) return CheckpointKind::kFull;
  return std::nullopt;
}

std::string known_names(const RunConfig& config) {
  std::vector<std::string> names = {"base"};
  for (const CheckpointRef& ref : run_checkpoints(config)) names.push_back(ref.name);
  return "there are: " + join(names, ", ") + "; a folder is taken too";
}

CheckpointRef base_of(const RunConfig& config) {
  require(config, config.checkpoint, "checkpoint");
  if (!fs::is_directory(config.checkpoint)) {
    throw UsageError("no such folder", "checkpoint: " + config.checkpoint.string(),
                     "it is the release, as downloaded");
  }
  return {"base", config.checkpoint, CheckpointKind::kBase, -1};
}

CheckpointRef folder_ref(const RunConfig& config, const std::string& name) {
  const fs::path given(name);
  const fs::path folder = given.has_filename() ? given : given.parent_path();
  for (const CheckpointRef& own : run_checkpoints(config)) {
    if (fs::equivalent(own.folder, folder)) return own;
  }
  if (const auto kind = kind_of(folder)) {
    return {fs::absolute(folder).lexically_normal().filename().string(), folder, *kind, -1};
  }
  const bool half = is_adapter_folder(folder) || fs::exists(folder / kAdapterWeights);
  throw DataError(half ? "half an adapter" : "neither an adapter nor a model", folder.string(),
                  half ? std::string("it needs both adapter_config.json and ") + kAdapterWeights
                       : "name a folder that holds weights");
}

CheckpointRef of_step(const RunConfig& config, int64_t step, const std::string& name) {
  for (CheckpointRef& ref : run_checkpoints(config)) {
    if (ref.step == step) return std::move(ref);
  }
  throw UsageError("no such checkpoint", name, known_names(config));
}

CheckpointRef find(const RunConfig& config, const std::string& name) {
  if (name == "base") return base_of(config);
  if (name == "last" || name == "best") {
    require(config, config.run, "run");
    std::vector<CheckpointRef> all = run_checkpoints(config);
    if (all.empty()) {
      throw UsageError("the run has no checkpoint yet", config.run.string(),
                       "train first, or take the checkpoint `base`");
    }
    if (name == "last") return std::move(all.back());
    const int64_t best = read_best_step(config.run);
    if (best < 0) {
      throw UsageError("the run has no best checkpoint, for it was never validated",
                       config.run.string(), "take `last`, or train with data.validation");
    }
    return of_step(config, best, "best (" + step_folder_name(best) + ")");
  }
  if (const auto step = parse_step(name)) {
    for (CheckpointRef& ref : run_checkpoints(config)) {
      if (ref.step == *step) return std::move(ref);
    }
  }
  if (fs::is_directory(name)) return folder_ref(config, name);
  if (is_loralib_file(name)) {
    const double alpha = config.given.contains("lora.alpha") ? config.lora.alpha : 0;
    return {fs::path(name).stem().string(), name, CheckpointKind::kAdapter, -1, alpha};
  }
  throw UsageError("no such checkpoint", name, known_names(config));
}

// What is measured is the stage train.stage: another one's adapter finds no place in it.
void refuse_other_stage(const RunConfig& config, const CheckpointRef& ref,
                        const std::string& name) {
  if (ref.kind != CheckpointKind::kAdapter) return;
  const std::string stage = recorded_stage(ref);
  if (stage.empty() || stage == config.train.stage) return;
  throw UsageError(
      ref.name + " is of the stage " + stage + ", train.stage is " + config.train.stage,
      "eval.checkpoints: " + name, "give --set train.stage=" + stage);
}

// A value of the adapter that differs from what the user wrote would be silently ignored. What he
// wrote is of the stage that the run file trains.
void refuse_contradiction(const RunConfig& config, const CheckpointRef& ref) {
  if (ref.kind != CheckpointKind::kAdapter) return;
  const PeftConfig peft = read_adapter_config(ref.folder, ref.alpha);
  const auto compare = [&](const char* key, auto written, auto stored) {
    if (!config.given.contains(key) || written == stored) return;
    std::ostringstream what;
    what << std::boolalpha << key << " is " << written << ", but the adapter has " << stored;
    throw UsageError(what.str(), ref.folder.string(),
                     "remove the key from the run file, or correct it");
  };
  compare("lora.rank", config.lora.rank, peft.r);
  compare("lora.alpha", config.lora.alpha, peft.lora_alpha);
  compare("lora.rslora", config.lora.rslora, peft.use_rslora);
}

}  // namespace

std::string recorded_stage(const CheckpointRef& ref) {
  const fs::path file = ref.folder / kResolvedConfig;
  return fs::exists(file) ? dumped_value(read_text(file), "train.stage").value_or("") : "";
}

fs::path stage_run(const RunConfig& config, const std::string& stage) {
  const fs::path file = config.run / kResolvedConfig;
  if (config.run.empty() || !fs::exists(file)) return config.run;
  const auto recorded = dumped_value(read_text(file), "train.stage");
  return recorded && *recorded != stage ? config.run / stage : config.run;
}

std::string step_folder_name(int64_t step) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "step-%08lld", static_cast<long long>(step));
  return text.data();
}

std::vector<CheckpointRef> run_checkpoints(const RunConfig& config) {
  std::vector<CheckpointRef> found;
  const fs::path folder = config.run / "checkpoints";
  if (config.run.empty() || !fs::is_directory(folder)) return found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const auto step = parse_step(name);
    if (!step || !entry.is_directory()) continue;
    if (const auto kind = kind_of(entry.path()))
      found.push_back({name, entry.path(), *kind, *step});
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.step < b.step; });
  return found;
}

CheckpointRef resolve_checkpoint(const RunConfig& config, const std::string& name,
                                 const std::string& stage) {
  if (name.empty()) throw UsageError("the checkpoint has no name", "", known_names(config));
  CheckpointRef ref = find(config, name);
  const std::string of = stage.empty() ? recorded_stage(ref) : stage;
  if (of.empty() || of == config.train.stage) refuse_contradiction(config, ref);
  return ref;
}

std::vector<CheckpointRef> resolve_checkpoints(const RunConfig& config,
                                               const std::vector<std::string>& names) {
  std::vector<CheckpointRef> refs = {base_of(config)};
  const auto add = [&](CheckpointRef ref) {
    for (const CheckpointRef& other : refs) {
      if (fs::equivalent(other.folder, ref.folder)) return;
    }
    // Two runs have checkpoints of one name.
    const bool taken = std::any_of(refs.begin(), refs.end(), [&](const CheckpointRef& other) {
      return other.name == ref.name;
    });
    if (taken) ref.name = ref.folder.string();
    refs.push_back(std::move(ref));
  };
  for (const std::string& name : names) {
    const auto [stage, plain] = split_stage(name);
    if (!stage.empty() && stage != config.train.stage) {
      throw UsageError("eval measures the stage " + config.train.stage + " (train.stage)",
                       "eval.checkpoints: " + name, "give --set train.stage=" + stage);
    }
    if (plain != "all") {
      CheckpointRef ref = resolve_checkpoint(config, plain);
      refuse_other_stage(config, ref, name);
      add(std::move(ref));
      continue;
    }
    for (CheckpointRef& ref : run_checkpoints(config)) {
      refuse_contradiction(config, ref);
      add(std::move(ref));
    }
  }
  // Foreign folders behind the run's own, in the order given.
  std::stable_sort(refs.begin() + 1, refs.end(), [](const auto& a, const auto& b) {
    return static_cast<uint64_t>(a.step) < static_cast<uint64_t>(b.step);
  });
  return refs;
}

int64_t read_best_step(const fs::path& run) {
  const fs::path file = run / kBestFile;
  if (!fs::exists(file)) return -1;
  const nlohmann::ordered_json json = read_json_object(file);
  return JsonReader(json, file.string()).integer("step");
}

void write_best_step(const fs::path& run, int64_t step, double validation_loss) {
  const nlohmann::ordered_json json = {{"step", step}, {"validation_loss", validation_loss}};
  write_text_atomic(run / kBestFile, json.dump(2) + "\n");
}

}  // namespace ttsft
