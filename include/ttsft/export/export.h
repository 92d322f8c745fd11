// The export engine: a checkpoint in the complete released layout, adapters merged, and the proof
// that it computes what the unmerged one does.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct ExportOptions {
  std::filesystem::path out;  // must be absent or empty
  // Of resolve_checkpoint_set; when there is none: best where the run has it, else last.
  std::vector<std::string> checkpoints;
  std::optional<double> lora_scale;  // synth.lora_scale when absent
  bool dry_run = false;              // names checkpoint and scale; writes nothing
};

// Weights become W + scale * scaling * B A. The folder appears under its name only after logits of
// the exported files agree with those of the base with the adapter beside it, both in float32.
//
// Returns {"out", "checkpoint", "lora_scale", "logits_difference", "tolerance", "rounded_away",
// "bytes", "license", "seconds"}. logits_difference is the RMS of the difference over the RMS of
// the logits' deviation from their mean. rounded_away is the share of the values that an adapter
// changes which the release's 16-bit type cannot tell from the base's; null where it has no such.
//
// UsageError: no out, an out folder that holds something, no checkpoint in the run. CheckError:
// the logits differ; nothing is left under the name.
nlohmann::ordered_json run_export(const RunConfig& config, const ModelAdapter& adapter,
                                  const ExportOptions& options);

std::string describe_export(const nlohmann::ordered_json& result);

}  // namespace ttsft
