#include "ttsft/export/export.h"

#include <chrono>
#include <cmath>
#include <cstdio>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/signals.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/voices.h"
#include "verify.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr double kMuch = 0.25;  // share of changed values that may vanish without a word

void check_out(const fs::path& out) {
  if (out.empty()) throw UsageError("no folder to export into", "", "give --out");
  const std::string where = "--out " + out.string();
  if (fs::exists(out) && !fs::is_directory(out)) {
    throw UsageError("a file, where a folder is to be made", where);
  }
  if (fs::is_directory(out) && !fs::is_empty(out)) {
    throw UsageError("the folder is not empty", where, "name a new one");
  }
}

CheckpointSet choose_checkpoints(const RunConfig& config, const ModelInfo& info,
                                 const ExportOptions& options) {
  if (!options.checkpoints.empty())
    return resolve_checkpoint_set(config, info, options.checkpoints);
  if (run_checkpoints(config).empty()) {
    throw UsageError("the run has no checkpoint to export", config.run.string(),
                     "train first, or give --checkpoint");
  }
  const bool best = read_best_step(config.run) >= 0;
  return resolve_checkpoint_set(config, info, {best ? "best" : "last"});
}

std::string license_line(const License& license) {
  std::string line = "licence of the weights: " + license.weights;
  if (!license.commercial) line += ", no commercial use";
  if (!license.note.empty()) line += " (" + license.note + ")";
  return line + "; it holds for the exported checkpoint too";
}

int64_t folder_bytes(const fs::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

void stop_when_asked() {
  if (stop_signal()) throw Stopped{stop_signal()};
}

}  // namespace

nlohmann::ordered_json run_export(const RunConfig& config, const ModelAdapter& adapter,
                                  const ExportOptions& options) {
  check_out(options.out);
  require(config, config.checkpoint, "checkpoint");
  require_accepted_license(config, adapter.info());
  if (options.lora_scale && !std::isfinite(*options.lora_scale)) {
    throw UsageError("must be a finite number", "--lora-scale");
  }
  const CheckpointSet checkpoints = choose_checkpoints(config, adapter.info(), options);
  const std::string name = checkpoints.name();
  const bool has_adapter = checkpoints.has_adapter();
  if (options.lora_scale && !has_adapter) {
    throw UsageError("the checkpoint " + name + " has no adapter to scale", "--lora-scale",
                     "name one with --checkpoint");
  }
  const double scale = options.lora_scale.value_or(config.synth.lora_scale);
  require_release(adapter, {"base", config.checkpoint, CheckpointKind::kBase, -1});
  require_releases(adapter, checkpoints);
  log_info("exporting ", name, has_adapter ? " at scale " : "",
           has_adapter ? detail::concatenate(scale) : "", " into ", options.out.string());
  log_info(license_line(adapter.info().license));
  Json result = {{"out", options.out.string()},
                 {"checkpoint", name},
                 {"lora_scale", has_adapter ? Json(scale) : Json()},
                 {"license", adapter.info().license.weights}};
  if (options.dry_run) {
    result["dry_run"] = true;
    return result;
  }

  const auto start = std::chrono::steady_clock::now();
  ModelContext context = make_context(config);
  context.dtype = torch::kFloat32;  // merging and proof are about the weights, not about speed
  const Proof proof(context, adapter, checkpoints, scale);
  stop_when_asked();
  AtomicFolder folder(options.out);
  const Rounding rounding = adapter.export_checkpoint(context, checkpoints, scale, folder.path());
  copy_voices(checkpoints.of("lm").folder, folder.path());
  stop_when_asked();

  const double tolerance = export_tolerance(folder.path());
  const double difference = proof.difference(folder.path());
  if (!(difference <= tolerance)) {
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, "%.3g of their spread, %.3g is allowed", difference,
                  tolerance);
    throw CheckError(std::string("the exported logits differ from the checkpoint's by ") + numbers,
                     options.out.string(), "nothing was left there");
  }
  result["logits_difference"] = difference;
  result["tolerance"] = tolerance;
  const bool rounded = has_adapter && rounding.changed > 0;
  result["rounded_away"] = rounded ? Json(rounding.share()) : Json();
  if (rounded && rounding.share() > kMuch) {
    log_warning("a good part of the adapter is smaller than a step of the release's 16-bit type ",
                "and gone in the export; synth with the adapter itself loses nothing");
  }
  result["bytes"] = folder_bytes(folder.path());
  folder.commit();
  result["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::string describe_export(const nlohmann::ordered_json& result) {
  const std::string checkpoint = result.at("checkpoint").get<std::string>();
  const std::string out = result.at("out").get<std::string>();
  if (result.contains("dry_run")) return "would export " + checkpoint + " into " + out + "\n";
  char numbers[128];
  std::snprintf(numbers, sizeof numbers, "%.1f MB, logits agree within %.2g (allowed: %.2g)",
                result.at("bytes").get<double>() / 1e6,
                result.at("logits_difference").get<double>(), result.at("tolerance").get<double>());
  std::string text = out + ": " + checkpoint + " merged, " + numbers;
  if (result.at("rounded_away").is_number()) {
    std::snprintf(numbers, sizeof numbers, ", %.1f %% of its changes were rounded away",
                  100 * result.at("rounded_away").get<double>());
    text += numbers;
  }
  return text + "\n";
}

}  // namespace ttsft
