// A Kaldi data folder: wav.scp (utterance and path), text (utterance and words), utt2spk
// (optional).
#include <algorithm>
#include <map>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

struct Entry {
  std::string id, value, where;
};

// "key value ..." per line, keys unique.
std::vector<Entry> read_table(const fs::path& file) {
  std::vector<Entry> table;
  std::map<std::string, std::string> places;
  for (const SourceLine& line : read_lines(file)) {
    const std::string text = trim(line.text);
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    Entry entry{text.substr(0, end), trim(text.substr(end)), place(file, line.number)};
    const auto [first, is_new] = places.emplace(entry.id, entry.where);
    if (!is_new) {
      throw DataError("'" + entry.id + "' is there twice", first->second + " and " + entry.where);
    }
    table.push_back(std::move(entry));
  }
  return table;
}

std::map<std::string, Entry> read_map(const fs::path& file) {
  std::map<std::string, Entry> map;
  if (!fs::exists(file)) return map;
  for (Entry& entry : read_table(file)) map.emplace(entry.id, std::move(entry));
  return map;
}

}  // namespace

ImportedSet import_kaldi(const fs::path& folder, const ImportDefaults& defaults) {
  if (fs::exists(folder / "segments")) {
    throw DataError("Kaldi segments are not read", (folder / "segments").string(),
                    "cut the recordings into one file per utterance first");
  }
  if (!fs::exists(folder / "text")) {
    throw DataError("the Kaldi folder has no file 'text'", folder.string());
  }
  auto texts = read_map(folder / "text");
  const auto speakers = read_map(folder / "utt2spk");
  ImportCollector rows("Kaldi", folder, defaults);
  for (const Entry& entry : read_table(folder / "wav.scp")) {
    if (entry.value.ends_with('|')) {
      throw DataError("a command in place of a file", entry.where,
                      "decode the recordings to files first");
    }
    Utterance row;
    row.id = entry.id;
    row.where = entry.where;
    row.audio_path = rows.find_file(entry.value);
    row.audio = rows.row_path(entry.value, row.audio_path);
    if (const auto text = texts.find(entry.id); text != texts.end()) {
      row.text = text->second.value;
      texts.erase(text);
    }
    const auto speaker = speakers.find(entry.id);
    if (speaker != speakers.end()) row.speaker = speaker->second.value;
    rows.add(std::move(row));
  }
  for (const auto& [id, entry] : texts) {
    rows.reject(id, entry.where, "not in wav.scp", "audio_missing");
  }
  return rows.finish(folder);
}

}  // namespace ttsft
