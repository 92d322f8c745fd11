// The lists that upstream's scripts write beside the arrays: train_manifest.jsonl and
// val_manifest.jsonl (one line per clip), gpt_pairs_train.jsonl and gpt_pairs_val.jsonl (one line
// per target and prompt, what upstream's trainer takes), stats.json.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "models/indextts2/arrays.h"
#include "ttsft/data/utterance.h"

namespace ttsft::indextts2 {

struct ManifestOptions {
  std::set<std::string> validation;  // ids
  int64_t pairs = 2;                 // prompts per target
  uint64_t seed = 1;
  int64_t condition_length = 32;
  std::string tokenizer, gpt_checkpoint;  // as stats.json names them
};

// rows: the utterances that prep encoded, their arrays in `folder`. Returns {"clips": n, "pairs":
// n}.
nlohmann::ordered_json write_manifests(const std::vector<Utterance>& rows,
                                       const SpeakerPrompts& speakers,
                                       const std::filesystem::path& folder,
                                       const ManifestOptions& options);

}  // namespace ttsft::indextts2
