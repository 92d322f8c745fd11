// The training engine: a prepared set and a checkpoint in, checkpoints and metrics out. Knows the
// interface of models and no model.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ttsft/config/run_config.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct TrainOptions {
  bool fresh = false;    // refuse a run folder that holds anything
  bool dry_run = false;  // plan and adapter sites only; nothing is written
};

// Trains what the run file asks for, or goes on from the last checkpoint of an earlier run in the
// same folder. Errors: UsageError (another run's folder, a plan of zero steps, targets that match
// nothing), DataError (prepared set), CheckError (targets are not where they should be), RunError
// (loss not a number, out of memory). Throws Stopped after saving when a signal asked for it.
nlohmann::ordered_json run_train(const RunConfig& config, const ModelAdapter& adapter,
                                 const TrainOptions& options);

// The result of run_train in words.
std::string describe_train(const nlohmann::ordered_json& result);

}  // namespace ttsft
