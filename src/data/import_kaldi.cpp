// A Kaldi data folder: wav.scp (utterance and path), text (utterance and words), utt2spk and
// instruct (optional), and perhaps what CosyVoice's encoders left beside them.
#include <algorithm>
#include <map>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/torch_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

struct Entry {
  std::string id, value, where;
};

// "key value ..." per line, keys unique.
std::vector<Entry> read_table(const fs::path& file, ImportCollector& rows) {
  std::vector<Entry> table;
  std::map<std::string, std::string> places;
  for (const SourceLine& line : read_lines(file)) {
    if (!line.bad.empty()) {
      const std::string where = place(file, line.number);
      rows.reject(where, where, line.bad, "row_malformed");
      continue;
    }
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

std::map<std::string, Entry> read_map(const fs::path& file, ImportCollector& rows) {
  std::map<std::string, Entry> map;
  if (!fs::exists(file)) return map;
  for (Entry& entry : read_table(file, rows)) map.emplace(entry.id, std::move(entry));
  return map;
}

// {utterance: list of numbers} of a file that torch.save wrote; empty where there is none.
class EncodedTable {
 public:
  EncodedTable(const fs::path& file, std::string key) : key_(std::move(key)) {
    if (!fs::exists(file)) return;
    file_ = TorchFile::open(file);
    if (!file_->root().dict())
      throw DataError("not a dictionary of lists", file.string(), "prepare the set anew");
  }

  void give(Utterance& row) const {
    const TorchValue* found = file_ ? file_->root().find(row.id) : nullptr;
    const auto* list = found ? std::get_if<TorchValue::List>(&found->data) : nullptr;
    if (!list || list->empty()) return;
    nlohmann::ordered_json values = nlohmann::ordered_json::array();
    for (const TorchValue& value : *list) {
      if (const auto* whole = std::get_if<int64_t>(&value.data)) {
        values.push_back(*whole);
      } else if (const auto* real = std::get_if<double>(&value.data)) {
        values.push_back(*real);
      } else {
        throw DataError("not a list of numbers for '" + row.id + "'", file_->path().string());
      }
    }
    row.row[key_] = std::move(values);
  }

 private:
  std::string key_;
  std::shared_ptr<const TorchFile> file_;
};

}  // namespace

ImportedSet import_kaldi(const fs::path& folder, const ImportDefaults& defaults) {
  if (fs::exists(folder / "segments")) {
    throw DataError("Kaldi segments are not read", (folder / "segments").string(),
                    "cut the recordings into one file per utterance first");
  }
  if (!fs::exists(folder / "text")) {
    throw DataError("the Kaldi folder has no file 'text'", folder.string());
  }
  ImportCollector rows("Kaldi", folder, defaults);
  auto texts = read_map(folder / "text", rows);
  const auto speakers = read_map(folder / "utt2spk", rows),
             instructs = read_map(folder / "instruct", rows);
  const auto& keys = defaults.encoded_keys;
  const bool takes_codes = std::find(keys.begin(), keys.end(), "speech_token") != keys.end();
  const fs::path nothing;
  const EncodedTable codes(takes_codes ? folder / "utt2speech_token.pt" : nothing, "speech_token");
  const EncodedTable vectors(takes_codes ? folder / "utt2embedding.pt" : nothing, "utt_embedding");
  for (const Entry& entry : read_table(folder / "wav.scp", rows)) {
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
    if (const auto instruct = instructs.find(entry.id); instruct != instructs.end()) {
      row.instruct = instruct->second.value;
      row.row["instruct"] = row.instruct;
    }
    codes.give(row);
    vectors.give(row);
    rows.add(std::move(row));
  }
  for (const auto& [id, entry] : texts) {
    rows.reject(id, entry.where, "not in wav.scp", "audio_missing");
  }
  return rows.finish(folder);
}

}  // namespace ttsft
