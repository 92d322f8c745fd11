#include "run_folder.h"

#include <algorithm>

#include "metrics.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/checkpoint.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.resolved.yaml";
constexpr const char* kLogFile = "log.txt";

// A lock and the log of a refused attempt do not make a folder used.
void require_empty(const fs::path& run) {
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".lock") || name == kLogFile) continue;
    throw UsageError("--fresh wants an empty run folder, this one holds " + name, run.string(),
                     "name another folder in `run`, or leave --fresh out to continue");
  }
}

bool has_steps(const fs::path& run) {
  const auto rows = read_metrics(run);
  return std::any_of(rows.begin(), rows.end(),
                     [](const auto& row) { return row.contains("loss"); });
}

// What may differ between the two halves of a run: keys that do not reach the trained numbers.
std::vector<std::string> ignored_keys(const RunConfig& config) {
  std::vector<std::string> keys = {"run",
                                   "device",
                                   "accept_license",
                                   "eval",
                                   "synth",
                                   "data.source",
                                   "data.guards",
                                   "data.batch_seconds",
                                   "train.keep",
                                   "train.checks",
                                   "train.checkpoint_every",
                                   "train.patience",
                                   "train.activation_checkpointing"};
  if (config.train.method == "full") keys.push_back("lora");
  return keys;
}

void require_same_run(const RunConfig& config) {
  const fs::path file = config.run / kConfigFile;
  const std::string remedy = "name another folder in `run` for another run";
  if (!fs::exists(file)) {
    throw UsageError("checkpoints or metrics are here, but no config.resolved.yaml",
                     config.run.string(), remedy);
  }
  const auto differences = diff_runs(read_text(file), dump_run(config), ignored_keys(config));
  if (differences.empty()) return;
  throw UsageError("the run here has another configuration: " + join(differences, "; "),
                   config.run.string(), remedy + ", or undo the change to continue this one");
}

std::optional<ResumePoint> find_resume(const RunConfig& config) {
  const auto checkpoints = run_checkpoints(config);
  if (checkpoints.empty() && !has_steps(config.run)) return std::nullopt;
  require_same_run(config);
  if (checkpoints.empty()) {
    log_info("the earlier run here ended before its first checkpoint: it begins anew");
    return std::nullopt;
  }
  const auto last = std::find_if(checkpoints.rbegin(), checkpoints.rend(),
                                 [](const auto& ref) { return has_trainer_state(ref.folder); });
  if (last == checkpoints.rend()) {
    throw UsageError("no checkpoint here holds trainer_state, so the run cannot be continued",
                     config.run.string(), "name another folder in `run`");
  }
  return ResumePoint{last->folder, read_trainer_state(last->folder)};
}

// Whole checkpoints that a kill left half written or half removed are gigabytes.
void sweep(const fs::path& run) {
  const fs::path checkpoints = run / "checkpoints";
  remove_unfinished(run);
  remove_unfinished(checkpoints);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(checkpoints, ignored)) {
    if (entry.is_directory(ignored)) remove_unfinished(entry.path());
  }
}

}  // namespace

RunFolder::RunFolder(const RunConfig& config, bool fresh) : lock_(config.run) {
  sweep(config.run);
  if (fresh) require_empty(config.run);
  resume_ = find_resume(config);
  log_to_file(config.run / kLogFile);
}

void RunFolder::claim(const RunConfig& config) const {
  write_text_atomic(config.run / kConfigFile, dump_run(config));
}

}  // namespace ttsft
