// One JSON object per line, under the names that the common tools use. What else a row holds is
// kept.
#include <array>
#include <utility>
#include <vector>

#include "import.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

// The names of each field, the first that is there counts.
constexpr std::array kAudio = {"audio", "audio_filepath", "wav", "path", "file_name"};
constexpr std::array kText = {"text", "transcript", "transcription", "sentence"};
constexpr std::array kId = {"id", "utterance_id"};
constexpr std::array kRecording = {"recording"};
constexpr std::array kSpeaker = {"speaker", "spk"};
constexpr std::array kLanguage = {"language"};
constexpr std::array kInstruct = {"instruct"};
constexpr std::array kReference = {"ref_audio", "reference"};

// What preparation tools leave beside their arrays. The split is theirs; ours is made anew.
constexpr std::array kManifests = {"train_manifest.jsonl", "val_manifest.jsonl"};

// A string; with may_be_number a whole number too (ids and speakers are often counted).
template <size_t N>
std::string field(const ordered_json& row, const std::array<const char*, N>& names,
                  bool may_be_number = false) {
  for (const char* name : names) {
    const auto found = row.find(name);
    if (found == row.end() || found->is_null()) continue;
    if (found->is_string()) {
      const auto value = found->template get<std::string>();
      if (value.find('\0') != std::string::npos)
        throw BadRow(std::string("there is a NUL in '") + name + "'");
      return value;
    }
    if (may_be_number && found->is_number_integer()) return found->dump();
    throw BadRow(std::string("'") + name + "' is not a string");
  }
  return {};
}

ordered_json parse_row(const SourceLine& line) {
  if (!line.bad.empty()) throw BadRow(line.bad);
  ordered_json row;
  try {
    row = ordered_json::parse(line.text);
  } catch (const nlohmann::json::exception& error) {
    throw BadRow(std::string("not JSON (") + error.what() + "): one JSON object per line");
  }
  if (!row.is_object()) throw BadRow("not a JSON object");
  return row;
}

Utterance read_row(const SourceLine& line, const std::string& where, const ImportCollector& rows) {
  Utterance row;
  row.where = where;
  row.row = parse_row(line);
  row.audio = field(row.row, kAudio);
  row.audio_path = rows.find_file(row.audio);
  row.text = field(row.row, kText);
  row.speaker = field(row.row, kSpeaker, true);
  row.language = field(row.row, kLanguage);
  row.instruct = field(row.row, kInstruct);
  row.reference = field(row.row, kReference);
  row.recording = field(row.row, kRecording, true);
  row.id = field(row.row, kId, true);
  return row;
}

void add_rows(const std::filesystem::path& file, ImportCollector& rows) {
  std::vector<std::pair<std::string, Utterance>> read;  // with the reason why it is bad, or ""
  for (const SourceLine& line : read_lines(file)) {
    auto& [bad, row] = read.emplace_back();
    const std::string where = place(file, line.number);
    try {
      row = read_row(line, where, rows);
    } catch (const BadRow& error) {
      bad = error.what();
      row.where = where;
    }
  }
  RowNames names;
  for (const auto& [bad, row] : read)
    if (bad.empty() && row.id.empty()) names.count(row.audio);
  for (auto& [bad, row] : read) {
    if (!bad.empty()) {
      rows.reject(row.where, row.where, bad, "row_malformed");
      continue;
    }
    if (row.id.empty()) row.id = names.id_of(row.audio);
    if (row.id.empty()) row.id = row.where;  // neither id nor audio: about to be rejected
    rows.add(std::move(row));
  }
}

}  // namespace

ImportedSet import_jsonl(const std::filesystem::path& file, const ImportDefaults& defaults) {
  ImportCollector rows("JSONL", std::filesystem::absolute(file).parent_path(), defaults);
  add_rows(file, rows);
  return rows.finish(file);
}

bool holds_manifests(const std::filesystem::path& folder) {
  return std::filesystem::is_regular_file(folder / kManifests[0]);
}

ImportedSet import_manifests(const std::filesystem::path& folder, const ImportDefaults& defaults) {
  ImportCollector rows("JSONL manifests", folder, defaults);
  for (const char* name : kManifests)
    if (std::filesystem::is_regular_file(folder / name)) add_rows(folder / name, rows);
  return rows.finish(folder);
}

}  // namespace ttsft
