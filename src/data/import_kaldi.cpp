// A Kaldi data folder: wav.scp (utterance and path, or with segments recording and path), text
// (utterance and words), utt2spk and instruct (optional), and perhaps what CosyVoice's encoders
// left beside them.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <sstream>

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
      rows.reject(entry.where, entry.where,
                  "'" + entry.id + "' stands at " + first->second + " already", "row_malformed");
      continue;
    }
    table.push_back(std::move(entry));
  }
  return table;
}

std::optional<double> seconds_of(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

std::map<std::string, Entry> read_map(const fs::path& file, ImportCollector& rows) {
  std::map<std::string, Entry> map;
  if (!fs::exists(file)) return map;
  for (Entry& entry : read_table(file, rows)) map.emplace(entry.id, std::move(entry));
  return map;
}

// An utterance's recording: a file, or a part of one.
struct Recorded {
  std::string id, where, file, recording;
  std::optional<RecordingPart> part;
};

void refuse_command(const Entry& entry) {
  if (entry.value.ends_with('|'))
    throw DataError("a command in place of a file", entry.where,
                    "decode the recordings to files first");
}

// "utterance recording begin end" in seconds; end -1: to the end of the recording.
std::vector<Recorded> segments_of(const fs::path& folder, ImportCollector& rows,
                                  std::set<std::string>& refused) {
  std::map<std::string, Entry> files = read_map(folder / "wav.scp", rows);
  std::vector<Recorded> found;
  for (const Entry& entry : read_table(folder / "segments", rows)) {
    std::istringstream fields(entry.value);
    std::string recording, begin, end, rest;
    fields >> recording >> begin >> end;
    const auto from = seconds_of(begin), to = seconds_of(end);
    const auto refuse = [&](const std::string& reason, const std::string& guard) {
      rows.reject(entry.id, entry.where, reason, guard);
      refused.insert(entry.id);
    };
    if (fields >> rest; !from || !to || !rest.empty() || *from < 0 || (*to != -1 && *to <= *from)) {
      refuse("not `utterance recording begin end` in seconds", "row_malformed");
      continue;
    }
    const auto file = files.find(recording);
    if (file == files.end()) {
      refuse("its recording " + recording + " is not in wav.scp", "audio_missing");
      continue;
    }
    refuse_command(file->second);
    const fs::path path = rows.find_file(file->second.value);
    Recorded row{entry.id, entry.where, file->second.value, recording, {}};
    if (!path.empty()) row.part = RecordingPart{path, *from, *to == -1 ? 0 : *to, -1};
    found.push_back(std::move(row));
  }
  return found;
}

std::vector<Recorded> recordings_of(const fs::path& folder, ImportCollector& rows,
                                    std::set<std::string>& refused) {
  if (fs::exists(folder / "segments")) return segments_of(folder, rows, refused);
  std::vector<Recorded> found;
  for (const Entry& entry : read_table(folder / "wav.scp", rows)) {
    refuse_command(entry);
    found.push_back({entry.id, entry.where, entry.value, {}, {}});
  }
  return found;
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
  std::set<std::string> refused;
  for (const Recorded& entry : recordings_of(folder, rows, refused)) {
    Utterance row;
    row.id = entry.id;
    row.where = entry.where;
    if (entry.part) {
      row.part = entry.part;
      row.recording = entry.recording;
    } else {
      row.audio_path = rows.find_file(entry.file);
      row.audio = rows.row_path(entry.file, row.audio_path);
    }
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
    if (refused.contains(id)) continue;  // said once
    rows.reject(id, entry.where,
                fs::exists(folder / "segments") ? "not in segments" : "not in wav.scp",
                "audio_missing");
  }
  return rows.finish(folder);
}

}  // namespace ttsft
