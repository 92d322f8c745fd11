#include "checkpoints.h"

#include <algorithm>
#include <map>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/voices.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kStateFolder = "trainer_state";
constexpr const char* kStateFile = "state.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kMastersFile = "masters.safetensors";
constexpr int64_t kStateVersion = 1;

ordered_json to_json(const TrainerState& state) {
  ordered_json validations = ordered_json::array();
  for (const Validation& v : state.validations) validations.push_back({v.step, v.loss});
  return {{"version", kStateVersion},  {"step", state.step},         {"epoch", state.next.epoch},
          {"batch", state.next.batch}, {"prepared_set", state.data}, {"validations", validations}};
}

void write_state(const fs::path& folder, const Trainee& trainee, const AdamW& optimizer,
                 const TrainerState& state) {
  fs::create_directory(folder);
  save_tensors(folder / kOptimizerFile, optimizer.state());
  if (!trainee.lora) save_tensors(folder / kMastersFile, trainee.weights.masters());
  write_text_atomic(folder / kStateFile, to_json(state).dump(2) + "\n");
}

// Out of sight under another name first: a removal that is cut short leaves nothing half.
void remove_whole(const fs::path& folder) {
  if (const std::error_code error = remove_folder(folder)) {
    log_warning("cannot remove ", folder.string(), " (", error.message(), ")");
  }
}

std::map<int64_t, double> losses_of(const std::vector<CheckpointRef>& checkpoints,
                                    const std::vector<Validation>& validations) {
  std::map<int64_t, double> losses;
  for (const Validation& validation : validations) {
    const bool stored = std::any_of(checkpoints.begin(), checkpoints.end(),
                                    [&](const auto& ref) { return ref.step == validation.step; });
    if (stored) losses[validation.step] = validation.loss;
  }
  return losses;
}

// By rising loss, earlier steps first among equals.
std::vector<int64_t> ranked(const std::map<int64_t, double>& losses) {
  std::vector<int64_t> steps;
  for (const auto& [step, loss] : losses) steps.push_back(step);
  std::stable_sort(steps.begin(), steps.end(),
                   [&](int64_t a, int64_t b) { return losses.at(a) < losses.at(b); });
  return steps;
}

void prune(const RunConfig& config, const std::vector<CheckpointRef>& checkpoints,
           const std::vector<int64_t>& by_loss) {
  const KeepChoice& keep = config.train.keep;
  std::set<int64_t> kept, with_state = {checkpoints.back().step};
  if (!by_loss.empty()) with_state.insert(by_loss.front());
  const auto last = std::min(std::max<int64_t>(1, keep.last), std::ssize(checkpoints));
  for (auto ref = checkpoints.end() - last; ref != checkpoints.end(); ++ref) kept.insert(ref->step);
  const auto best = std::min(std::max<int64_t>(1, keep.best), std::ssize(by_loss));
  kept.insert(by_loss.begin(), by_loss.begin() + best);
  for (const CheckpointRef& ref : checkpoints) {
    if (!keep.all && !kept.contains(ref.step)) {
      remove_whole(ref.folder);
    } else if (!with_state.contains(ref.step)) {
      remove_whole(ref.folder / kStateFolder);
    }
  }
}

}  // namespace

int64_t TrainerState::validations_without_gain() const {
  const auto lowest =
      std::min_element(validations.begin(), validations.end(),
                       [](const Validation& a, const Validation& b) { return a.loss < b.loss; });
  return lowest == validations.end() ? 0 : validations.end() - lowest - 1;
}

bool has_trainer_state(const fs::path& checkpoint) {
  return fs::exists(checkpoint / kStateFolder / kStateFile);
}

TrainerState read_trainer_state(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kStateFolder / kStateFile;
  const ordered_json json = read_json_object(file);
  const JsonReader reader(json, file.string());
  if (reader.integer("version") != kStateVersion) {
    throw DataError("the trainer state is of another version of ttsft", file.string(),
                    "train in another run folder");
  }
  TrainerState state;
  state.step = reader.integer("step");
  state.next = {reader.integer("epoch"), reader.integer("batch")};
  state.data = reader.text("prepared_set");
  try {
    for (const ordered_json& pair : reader.at("validations")) {
      state.validations.push_back({pair.at(0).get<int64_t>(), pair.at(1).get<double>()});
    }
  } catch (const nlohmann::json::exception&) {
    reader.fail("validations", "wants pairs of step and loss");
  }
  return state;
}

void restore_training(const fs::path& checkpoint, Trainee& trainee, AdamW& optimizer) {
  const fs::path folder = checkpoint / kStateFolder;
  if (!trainee.lora) {
    trainee.weights.load_masters(SafetensorsReader::open(folder / kMastersFile));
  }
  optimizer.load_state(SafetensorsReader::open(folder / kOptimizerFile));
}

int64_t best_checkpoint(const RunConfig& config, const std::vector<Validation>& validations) {
  const auto steps = ranked(losses_of(run_checkpoints(config), validations));
  return steps.empty() ? -1 : steps.front();
}

void save_checkpoint(const RunConfig& config, Stage& stage, const Trainee& trainee,
                     const AdamW& optimizer, const TrainerState& state) {
  const fs::path target = config.run / "checkpoints" / step_folder_name(state.step);
  AtomicFolder folder(target);
  trainee.save(stage, folder.path());
  copy_voices(config.data.prepared, folder.path());
  write_text_atomic(folder.path() / "config.resolved.yaml", dump_run(config));
  write_state(folder.path() / kStateFolder, trainee, optimizer, state);
  folder.commit();

  const auto checkpoints = run_checkpoints(config);
  const auto losses = losses_of(checkpoints, state.validations);
  const auto by_loss = ranked(losses);
  if (!by_loss.empty()) write_best_step(config.run, by_loss.front(), losses.at(by_loss.front()));
  prune(config, checkpoints, by_loss);
  log_info("saved ", target.string());
}

}  // namespace ttsft
