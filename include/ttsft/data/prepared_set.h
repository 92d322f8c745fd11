// The prepared folder: what prep writes and train and eval read.
//
//   train.jsonl, validation.jsonl   rows in upstream's training format (what a row holds is the adapter's affair)
//   index.json                      what was made from what: hashes, rates, durations, versions
//   rejected.jsonl                  each refused row with its reason
//   rows.partial.jsonl              only while prep runs or after a kill: finished rows, so that it resumes
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ttsft/data/utterance.h"

namespace ttsft {

struct PreparedRow {
  std::string id;
  std::string key;             // content hash of all that decided the row: audio bytes, text, encoder, options
  double seconds = 0;          // of audio
  nlohmann::ordered_json row;  // as it stands in train.jsonl
};

struct PreparedSet {
  std::filesystem::path folder;
  nlohmann::ordered_json index;
  std::vector<PreparedRow> train, validation;  // in manifest order

  std::vector<PreparedRow> all() const;  // both, in manifest order
  // DataError when there is none, when it is half written, or when it was made for another model.
  static PreparedSet open(const std::filesystem::path& folder, const std::string& model);
};

// The writing side. Rows may come in any order; a row is safe as soon as add() returns.
class PreparedWriter {
 public:
  PreparedWriter(std::filesystem::path folder, std::string model);

  // The row of an earlier run that this content key still describes, or nullptr.
  const PreparedRow* reusable(const std::string& id, const std::string& key) const;
  void add(const PreparedRow& row);

  // Splits, writes every file atomically and removes the partial one. `order` is the manifest's order of ids; rows of
  // other ids (removed from the source) are dropped.
  void finish(const std::vector<std::string>& order, const std::vector<std::string>& validation_ids,
              const std::vector<RejectedRow>& rejected, nlohmann::ordered_json index);

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  std::string model_;
  std::map<std::string, PreparedRow> rows_;
  std::ofstream journal_;
};

// Which ids validate: by hash of the id (share in [0, 1)), or those listed in a file, one a line (unknown: DataError).
std::vector<std::string> validation_ids(const std::vector<std::string>& ids, double share);
std::vector<std::string> validation_ids(const std::vector<std::string>& ids, const std::filesystem::path& list);

}  // namespace ttsft
