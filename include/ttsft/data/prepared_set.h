// The prepared folder: what prep writes and train and eval read.
//
//   train.jsonl,            rows in upstream's training format
//   validation.jsonl          (what a row holds is the adapter's affair)
//   index.json              what was made from what: hashes, rates, durations, versions
//   rejected.jsonl          each refused row with its reason
//   findings.jsonl          each warning about a row that is used
//   rows.partial.jsonl      only while prep runs or after a kill: finished rows, so that it resumes
//
// index.json is written last and holds the hashes of both row files and, as "set_files", of what
// the adapter put beside them: a set that a kill left half renewed, or that somebody edited, is
// never taken for a finished one.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ttsft/data/prepared_rows.h"
#include "ttsft/data/utterance.h"
#include "ttsft/io/folder_lock.h"

namespace ttsft {

// The value of the index's key "set_files": {"speakers.json": {"hash"}, "clips": {"files", "stamp",
// "hash"}}. A file's hash is of its content, a folder's of the names and contents of the files
// directly in it; its stamp is of their names, sizes and times, so that opening reads none of them
// unless the set was copied. Names that are not there are left out.
nlohmann::ordered_json describe_set_files(const std::filesystem::path& folder,
                                          const std::vector<std::string>& names);

struct PreparedSet {
  std::filesystem::path folder;
  nlohmann::ordered_json index;    // without its list of utterances
  PreparedRows train, validation;  // in manifest order

  PreparedRows all() const;  // both, in manifest order
  // DataError when there is none, when it is half written or edited, when another version of ttsft
  // wrote it, or when it was made for another model. Who reads the files beside the rows for longer
  // holds a shared FolderLock, so that no prep changes them.
  static PreparedSet open(const std::filesystem::path& folder, const std::string& model);
  // Without a look at the files beside the rows: for a report, or for prep, which looks at each.
  static PreparedSet look(const std::filesystem::path& folder, const std::string& model);

 private:
  void assign_rows();

  std::vector<bool> validates_;  // by place in the manifest
};

// The writing side. Rows may come in any order and from any thread; a row is safe from a kill as
// soon as add() returns. The folder is locked (FolderLock) for the life of the object.
class PreparedWriter {
 public:
  // Creates the folder and loads what earlier runs left there for reuse. DataError: a set of
  // another model, or an index.json that ttsft did not write. RunError: another ttsft writes here.
  PreparedWriter(std::filesystem::path folder, std::string model);

  // The row of an earlier run that this content key still describes. Asking for it includes it in
  // the set: no add() is needed.
  std::optional<PreparedRow> reusable(const std::string& id, const std::string& key) const;
  void add(const PreparedRow& row);

  // Splits, writes every file atomically and removes the partial one. `order` is the manifest's
  // order of ids; rows of other ids (removed from the source) and of rejected ids are dropped.
  // Every id of `order` that is not rejected must have been added or reused (RunError). When no row
  // is left, rejected.jsonl is written and a DataError points to it. The keys format, version,
  // model, files and utterances of the index are the writer's own.
  void finish(const std::vector<std::string>& order, const std::vector<std::string>& validation_ids,
              const std::vector<RejectedRow>& rejected, nlohmann::ordered_json index,
              const std::vector<WarnedRow>& warned = {});

  const std::filesystem::path& folder() const { return folder_; }

 private:
  void load_finished();
  void load_journal();
  // A row as text: as a tree of JSON it would be six times as large.
  struct StoredRow {
    std::string key;
    double seconds = 0;
    std::string text, notes;  // JSON; notes: "" for none
  };
  void write_journal(const std::string& id, const StoredRow& row);
  nlohmann::ordered_json write_rows(std::string_view name,
                                    const std::vector<const StoredRow*>& rows) const;

  std::filesystem::path folder_;
  std::string model_;
  FolderLock lock_;
  std::map<std::string, StoredRow> rows_;
  std::set<std::string> journaled_;        // ids whose row in rows_ stands in the journal
  mutable std::set<std::string> current_;  // ids added or reused in this run
  mutable std::mutex mutex_;
  std::ofstream journal_;
};

// What a clip is to the split.
struct SplitClip {
  std::string id, speaker;
  std::string recording;  // what it was cut from; "": as its id shows
};

// The id without the number of a segment, where what is left ends in a number too:
// "chapter_017_003" gives "chapter_017". Else the id itself.
std::string take_of(const std::string& id);

// Which ids validate, in the order given. Of each speaker's clips the share, rounded (in [0, 1),
// else UsageError), at least two of ten, one of four, and never all; of a whole set at least one.
// By the hash of what they were cut from, so that most stay on their side when others come and go
// and neighbours of one take do not stand on both. Or those listed in a file, one a line (unknown
// or none: DataError).
std::vector<std::string> validation_ids(const std::vector<SplitClip>& clips, double share);
std::vector<std::string> validation_ids(const std::vector<std::string>& ids,
                                        const std::filesystem::path& list);

}  // namespace ttsft
