// The evaluation engine: teacher-forced losses of the base and of any number of checkpoints on one
// set, ranked. Knows no model.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ttsft/config/run_config.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct EvalOptions {
  bool dry_run = false;  // says what would be measured; loads no model
};

// Measures what eval.checkpoints and eval.lora_scales name on eval.split of the prepared set.
//
// Returns {"model", "split", "precision", "device", "checkpoints": [{"name", "step", "loss",
// "loss_terms", "tokens", "term_tokens", "accuracy", "codebooks", "utterances": [{"id", "loss",
// "loss_terms", "tokens", "accuracy"}]}], "best", "seconds"}. The base comes first and is step 0;
// the step of a folder from elsewhere is null. A row's loss is the weighted sum of each term's mean
// over all its tokens. `loss_terms` and `accuracy` are objects by term; `codebooks` holds "loss"
// and "accuracy" lists of the terms that have codebooks. `best` names the row of the lowest loss.
//
// With a run folder, run/eval/report.json and run/eval/report.md hold the same.
//
// UsageError: wrong checkpoints, keys of the run file that are missing. DataError: no prepared set,
// an empty split, no supervised token. Stopped: after a signal.
nlohmann::ordered_json run_eval(const RunConfig& config, const ModelAdapter& adapter,
                                const EvalOptions& options);

// The ranked table, best first, for people.
std::string describe_eval(const nlohmann::ordered_json& result);

}  // namespace ttsft
