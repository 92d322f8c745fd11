// LJSpeech: id|text or id|text|normalised text per line, recordings in wavs/ or beside the file.
#include <algorithm>
#include <utility>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// The first column is an id ("x") or a path ("x.wav", "wavs/x.wav").
fs::path find_audio(const ImportCollector& rows, const fs::path& folder, const std::string& name) {
  if (has_audio_extension(name)) {
    const fs::path found = rows.find_file(name);
    return found.empty() ? rows.find_file((folder / "wavs" / name).string()) : found;
  }
  for (const fs::path& parent : {folder / "wavs", folder}) {
    for (const std::string& extension : audio_extensions()) {
      const fs::path file = parent / (name + extension);
      if (fs::is_regular_file(file)) return file;
    }
  }
  return {};
}

// Some tools write a first line of column names. Without this check a third column such as
// "speaker_name" would be read as the normalised text.
bool is_column_names(const std::vector<std::string>& columns, const std::string& where) {
  static const std::vector<std::string> texts = {"text", "transcript", "transcription", "sentence"};
  const std::string second = to_lower_ascii(columns[1]);
  if (std::find(texts.begin(), texts.end(), second) == texts.end()) return false;
  if (columns.size() == 3 && to_lower_ascii(columns[2]).find("normal") == std::string::npos) {
    throw DataError("the column '" + columns[2] + "' is not the normalised text", where,
                    "use JSONL for rows with more than id and text");
  }
  return true;
}

}  // namespace

ImportedSet import_ljspeech(const fs::path& file, const ImportDefaults& defaults) {
  const fs::path folder = fs::absolute(file).lexically_normal().parent_path();
  ImportCollector rows("LJSpeech", folder, defaults);
  bool is_first = true;
  for (const SourceLine& line : read_lines(file)) {
    std::vector<std::string> columns = split(line.text, '|');
    const std::string where = place(file, line.number);
    if (columns.size() < 2 || columns.size() > 3) {
      throw DataError(
          std::to_string(columns.size()) + " columns, not id|text or id|text|normalised", where,
          "separate columns by |, and use none in texts");
    }
    for (std::string& column : columns) column = trim(column);
    const fs::path audio = find_audio(rows, folder, columns[0]);
    if (std::exchange(is_first, false) && audio.empty() && is_column_names(columns, where))
      continue;
    if (columns[0].empty()) throw DataError("the first column is empty", where);

    Utterance row;
    const fs::path name = fs::path(columns[0]).filename();
    row.id = has_audio_extension(name) ? name.stem().string() : name.string();
    row.audio_path = audio;
    row.audio = rows.row_path(columns[0], audio);
    row.text = columns.size() == 3 && !columns[2].empty() ? columns[2] : columns[1];
    row.where = where;
    rows.add(std::move(row));
  }
  return rows.finish(file);
}

}  // namespace ttsft
