// The prep engine: from recordings and texts to a prepared folder. Knows no model.
//
// Import, guards, then windows of a bounded amount of audio: while the device encodes one window in
// batches of like length, worker threads read, hash, measure and resample the next. Each finished
// row is in the journal at once, so a run that ends early continues where it stopped, and a row
// whose content key did not change is never encoded again.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ttsft/config/run_config.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct PrepOptions {
  bool dry_run = false;  // imports and measures, encodes and writes nothing
};

// Reads data.source and writes data.prepared. Rows that a guard refuses are listed in
// rejected.jsonl and the run goes on without them.
//
// Returns {"prepared", "model", "source": {"path", "format"}, "utterances", "encoded", "reused",
// "rejected", "seconds", "lengths", "train", "validation", "rates", "resampled", "guards",
// "batches", "elapsed_seconds"}; a dry run has "dry_run" and "to_encode" in place of "encoded" and
// "batches".
//
// UsageError: a path missing in the run file, an unknown guard. DataError: the source or the
// checkpoint cannot be used, a guard on the whole set refuses, or no row is left. Stopped: after a
// signal, with every encoded row saved.
nlohmann::ordered_json run_prep(const RunConfig& config, const ModelAdapter& adapter,
                                const PrepOptions& options);

// The result for people, several lines.
std::string describe_prep(const nlohmann::ordered_json& result);

}  // namespace ttsft
