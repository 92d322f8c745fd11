// One JSON object per line, under the names that the common tools use. What else a row holds is
// kept.
#include <array>

#include "import.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

// The names of each field, the first that is there counts.
constexpr std::array kAudio = {"audio", "audio_filepath", "wav", "path"};
constexpr std::array kText = {"text", "transcript", "sentence"};
constexpr std::array kId = {"id", "utterance_id"};
constexpr std::array kSpeaker = {"speaker", "spk"};
constexpr std::array kLanguage = {"language"};
constexpr std::array kInstruct = {"instruct"};
constexpr std::array kReference = {"ref_audio", "reference"};

// What preparation tools leave beside their arrays. The split is theirs; ours is made anew.
constexpr std::array kManifests = {"train_manifest.jsonl", "val_manifest.jsonl"};

// A string; with may_be_number a whole number too (ids and speakers are often counted).
template <size_t N>
std::string field(const ordered_json& row, const std::array<const char*, N>& names,
                  const std::string& where, bool may_be_number = false) {
  for (const char* name : names) {
    const auto found = row.find(name);
    if (found == row.end() || found->is_null()) continue;
    if (found->is_string()) return found->template get<std::string>();
    if (may_be_number && found->is_number_integer()) return found->dump();
    throw DataError(std::string("'") + name + "' is not a string", where);
  }
  return {};
}

ordered_json parse_row(const std::string& text, const std::string& where) {
  ordered_json row;
  try {
    row = ordered_json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string("not JSON (") + error.what() + ")", where,
                    "write one JSON object per line");
  }
  if (!row.is_object()) {
    throw DataError("not a JSON object", where, "write one JSON object per line");
  }
  return row;
}

void add_rows(const std::filesystem::path& file, ImportCollector& rows) {
  for (const SourceLine& line : read_lines(file)) {
    Utterance row;
    row.where = place(file, line.number);
    row.row = parse_row(line.text, row.where);
    row.audio = field(row.row, kAudio, row.where);
    row.audio_path = rows.find_file(row.audio);
    row.text = field(row.row, kText, row.where);
    row.speaker = field(row.row, kSpeaker, row.where, true);
    row.language = field(row.row, kLanguage, row.where);
    row.instruct = field(row.row, kInstruct, row.where);
    row.reference = field(row.row, kReference, row.where);
    row.id = field(row.row, kId, row.where, true);
    if (row.id.empty()) row.id = std::filesystem::path(row.audio).stem().string();
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
