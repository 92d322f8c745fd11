// Several sources as one set, and what must hold over all rows of it.
#include <algorithm>
#include <map>
#include <set>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/text/fold.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// Folders of one set that are no speakers.
const std::set<std::string>& split_names() {
  static const std::set<std::string> names = {"train", "training", "test",       "testing",
                                              "dev",   "eval",     "validation", "valid",
                                              "val",   "data",     "all"};
  return names;
}

// What a source is called in the ids of its rows: its folder's name, or the file's where several
// lie in one folder. Each differs.
std::vector<std::string> source_names(const std::vector<fs::path>& sources) {
  const auto named = [&](bool by_file) {
    std::vector<std::string> names;
    for (const fs::path& source : sources) {
      const fs::path path = fs::absolute(source).lexically_normal();
      const fs::path whole = path.has_filename() ? path : path.parent_path();
      names.push_back((fs::is_directory(whole) || by_file ? whole : whole.parent_path()).stem());
    }
    return names;
  };
  const auto differ = [](const std::vector<std::string>& names) {
    return std::set<std::string>(names.begin(), names.end()).size() == names.size();
  };
  for (const bool by_file : {false, true})
    if (std::vector<std::string> names = named(by_file); differ(names)) return names;
  std::vector<std::string> names = named(true);
  for (size_t i = 0; i < names.size(); ++i) names[i] += "-" + std::to_string(i + 1);
  return names;
}

ImportedSet merged(std::vector<ImportedSet> sets, const std::vector<std::string>& names) {
  std::map<std::string, int> count;  // of an id, in how many sets
  for (const ImportedSet& set : sets) {
    std::set<std::string> own;
    for (const Utterance& row : set.utterances) own.insert(row.id);
    for (const RejectedRow& row : set.rejected) own.insert(row.id);
    for (const std::string& id : own) ++count[id];
  }
  ImportedSet all;
  std::set<std::string> formats;
  for (size_t i = 0; i < sets.size(); ++i) {
    const auto rename = [&](auto& row) {
      if (count.at(row.id) > 1) row.id = names[i] + "/" + row.id;
      row.where = names[i] + ": " + row.where;
    };
    for (Utterance& row : sets[i].utterances) {
      rename(row);
      all.utterances.push_back(std::move(row));
    }
    for (RejectedRow& row : sets[i].rejected) {
      rename(row);
      all.rejected.push_back(std::move(row));
    }
    if (formats.insert(sets[i].format).second)
      all.format += (all.format.empty() ? "" : " and ") + sets[i].format;
  }
  return all;
}

// A voice would be learned as two, or two as one, by whoever folds the names.
void check_names(const ImportedSet& set) {
  std::map<std::string, std::string> names;
  for (const Utterance& row : set.utterances) {
    const auto [known, is_new] = names.emplace(fold_name(row.speaker), row.speaker);
    if (!is_new && known->second != row.speaker)
      throw DataError("two speakers are called '" + known->second + "' and '" + row.speaker + "'",
                      row.where, "write the name in one way");
  }
}

std::vector<std::string> speakers_of(const ImportedSet& set) {
  std::set<std::string> names;
  for (const Utterance& row : set.utterances) names.insert(row.speaker);
  return {names.begin(), names.end()};
}

std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 8;
  std::vector<std::string> shown(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, names.size())));
  for (std::string& name : shown)
    if (name.empty()) name = "(rows without a name)";
  return join(shown, ", ") + (names.size() > kMost ? ", ..." : "");
}

// data.reference is meant for the speakers that the rows have.
void check_choice(const ImportedSet& set, const ReferenceChoice& choice) {
  const std::vector<std::string> speakers = speakers_of(set);
  std::set<std::string> without;  // a reference of their own
  for (const Utterance& row : set.utterances)
    if (!choice.file.empty() && row.reference == choice.file.string()) without.insert(row.speaker);
  if (without.size() > 1)
    throw UsageError("one recording would be the voice of " + std::to_string(without.size()) +
                         " speakers: " + listed({without.begin(), without.end()}),
                     "data.reference: " + choice.file.string(),
                     "write data.reference: {" + *without.begin() +
                         ": FILE, ...}, or remove it: prep then chooses a clip of each");
  std::set<std::string> folded;
  for (const std::string& speaker : speakers) folded.insert(fold_name(speaker));
  for (const auto& [name, file] : choice.by_speaker)
    if (!folded.contains(fold_name(name)))
      throw UsageError("the set has no speaker '" + name + "'", "data.reference",
                       "it has: " + listed(speakers));
}

// One recording cannot be the voice of two.
void check_references(const ImportedSet& set) {
  std::map<fs::path, const Utterance*> voices;
  for (const Utterance& row : set.utterances) {
    if (row.reference_path.empty()) continue;
    const auto [first, is_new] = voices.emplace(row.reference_path, &row);
    if (is_new || first->second->speaker == row.speaker) continue;
    throw DataError("one recording is the voice of '" + first->second->speaker + "' and of '" +
                        row.speaker + "': " + row.reference,
                    first->second->where + " and " + row.where,
                    "give each speaker a recording of its own");
  }
}

void require_there(const fs::path& file) {
  if (!file.empty() && !fs::is_regular_file(file))
    throw UsageError("data.reference is not there", file.string());
}

}  // namespace

fs::path reference_of(const ReferenceChoice& choice, const std::string& speaker) {
  for (const auto& [name, file] : choice.by_speaker)
    if (fold_name(name) == fold_name(speaker)) return file;
  return choice.file;
}

std::vector<fs::path> metadata_folders(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    const fs::path path = entry.path();
    if (fs::exists(path / "metadata.csv") || fs::exists(path / "metadata.jsonl"))
      found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}

ImportedSet import_parts(const std::vector<fs::path>& folders, const ImportDefaults& defaults) {
  std::vector<ImportedSet> sets;
  for (const fs::path& folder : folders) {
    ImportDefaults own = defaults;
    const std::string name = folder.filename().string();
    if (!split_names().contains(to_lower_ascii(name)) && own.speaker.empty()) own.speaker = name;
    sets.push_back(import_set(folder, own));
  }
  for (const auto& entry : fs::directory_iterator(folders.front().parent_path())) {
    const bool taken = std::find(folders.begin(), folders.end(), entry.path()) != folders.end();
    if (entry.is_directory() && !taken)
      log_warning("the folder ", entry.path().string(), " has no metadata and is not read");
  }
  return merged(std::move(sets), source_names(folders));
}

ImportedSet import_sources(const std::vector<fs::path>& sources, const ImportDefaults& defaults) {
  require_there(defaults.reference.file);
  for (const auto& [speaker, file] : defaults.reference.by_speaker) require_there(file);
  std::vector<ImportedSet> sets;
  for (const fs::path& source : sources) sets.push_back(import_set(source, defaults));
  ImportedSet set =
      sets.size() == 1 ? std::move(sets.front()) : merged(std::move(sets), source_names(sources));
  check_names(set);
  check_choice(set, defaults.reference);
  check_references(set);
  return set;
}

}  // namespace ttsft
