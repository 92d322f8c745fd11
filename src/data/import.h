// What the importers of the single formats share. importers.cpp chooses among them.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "ttsft/data/importers.h"

namespace ttsft {

// What is wrong with one row, which alone is refused for it.
struct BadRow : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The end of an audio file's name, lower case, that the importers take for audio: ".wav", ...
const std::vector<std::string>& audio_extensions();
bool has_audio_extension(const std::filesystem::path& file);

// Ids of rows that have none: the stem of the recording's name, and where recordings of several
// folders are called alike the whole path without its extension.
class RowNames {
 public:
  void count(const std::string& audio);
  std::string id_of(const std::string& audio) const;

 private:
  std::map<std::string, std::set<std::string>> paths_;  // by stem
};

struct SourceLine {
  int64_t number;  // from 1
  std::string text;
  std::string bad{};  // why it cannot be read: not UTF-8, a NUL; "": it can
};

// Lines that are not blank, without line ends (LF, CRLF or CR) and byte order mark. DataError:
// unreadable, UTF-16.
std::vector<SourceLine> read_lines(const std::filesystem::path& file);

// "metadata.csv line 12"
std::string place(const std::filesystem::path& file, int64_t line);

// Gathers the rows of one source: resolves paths, fills in the defaults, sorts out what cannot be
// used.
class ImportCollector {
 public:
  // folder: where relative paths that are not in the working directory start.
  ImportCollector(std::string format, const std::filesystem::path& folder,
                  const ImportDefaults& defaults);

  // The file that a path of the source means: from the working directory if it is there, else from
  // the manifest's folder; backslashes are slashes where no file has them in its name. Empty when
  // it is in neither.
  std::filesystem::path find_file(const std::string& written) const;
  // The file, or the only one of its folder whose name folds to the same (text/fold.h).
  std::filesystem::path find_like(const std::filesystem::path& file) const;

  // How a found file goes into a row: as written when that works from the working directory, else
  // absolute.
  std::string row_path(const std::string& written, const std::filesystem::path& found) const;

  // Takes a row whose id, audio, audio_path (empty: not there), text, where and own fields are set.
  void add(Utterance utterance);
  void reject(const std::string& id, const std::string& where, const std::string& reason,
              const std::string& guard);

  ImportedSet finish(const std::filesystem::path& source);  // DataError when no row is usable

 private:
  // Whether the id is free; where it is not, the row of `where` is refused.
  bool claim(const std::string& id, const std::string& where);

  // By folder: its files by their folded names, "" where two are called alike.
  using Names = std::map<std::string, std::filesystem::path>;

  std::filesystem::path folder_;
  ImportDefaults defaults_;
  ImportedSet set_;
  mutable std::map<std::filesystem::path, Names> folders_;
  std::map<std::string, std::string> places_;  // id -> where it was first seen
};

ImportedSet import_table(const std::filesystem::path& file, const ImportDefaults& defaults);
// path|speaker|language|text
ImportedSet import_list(const std::filesystem::path& file, const ImportDefaults& defaults);
ImportedSet import_jsonl(const std::filesystem::path& file, const ImportDefaults& defaults);
// A folder with train_manifest.jsonl and perhaps val_manifest.jsonl.
ImportedSet import_manifests(const std::filesystem::path& folder, const ImportDefaults& defaults);
bool holds_manifests(const std::filesystem::path& folder);
ImportedSet import_audio_folder(const std::filesystem::path& folder,
                                const ImportDefaults& defaults);
ImportedSet import_kaldi(const std::filesystem::path& folder, const ImportDefaults& defaults);

// A .parquet file, or a folder with some in it or in its data/.
ImportedSet import_parquet(const std::filesystem::path& source, const ImportDefaults& defaults);
bool holds_parquet(const std::filesystem::path& source);

// Folders directly below that hold a metadata.csv or .jsonl each: parts of one set, or speakers.
std::vector<std::filesystem::path> metadata_folders(const std::filesystem::path& folder);
ImportedSet import_parts(const std::vector<std::filesystem::path>& folders,
                         const ImportDefaults& defaults);

// A folder with data.list: CosyVoice's parquet shards.
ImportedSet import_shards(const std::filesystem::path& folder, const ImportDefaults& defaults);
bool holds_shards(const std::filesystem::path& folder);

// A .protos file, or a folder that holds some: Fish Speech's packed sets.
ImportedSet import_protos(const std::filesystem::path& source, const ImportDefaults& defaults);
bool holds_protos(const std::filesystem::path& source);

ImportedSet import_cache(const std::filesystem::path& folder, const ImportDefaults& defaults);

// .pt files in the folder itself.
bool holds_cache(const std::filesystem::path& folder);
// Audio in the folder itself or one level below: what import_audio_folder reads.
bool holds_audio(const std::filesystem::path& folder);

}  // namespace ttsft
