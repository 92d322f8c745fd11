// Parquet files with a column of recordings: bytes beside a name, as Hugging Face's datasets have
// them, or paths.
#include <algorithm>
#include <cstdio>
#include <map>

#include "import.h"
#include "table_columns.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/parquet.h"
#include "ttsft/text/split.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> parquet_in(const fs::path& source) {
  std::vector<fs::path> files;
  if (!fs::is_directory(source)) {
    if (to_lower_ascii(source.extension().string()) == ".parquet") files.push_back(source);
    return files;
  }
  for (const fs::path& folder : {source, source / "data"}) {
    if (!fs::is_directory(folder)) continue;
    for (const auto& entry : fs::directory_iterator(folder))
      if (to_lower_ascii(entry.path().extension().string()) == ".parquet")
        files.push_back(entry.path());
    if (!files.empty()) break;
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Which of a file's columns mean what.
struct Columns {
  std::string bytes, path;                // of the recordings; one of them may be ""
  std::map<Column, std::string> meaning;  // text, speaker, ...
  std::string id;
};

Columns columns_of(const fs::path& file) {
  const ParquetReader reader(file);
  Columns found;
  for (const std::string& name : reader.columns()) {
    const size_t dot = name.rfind('.');
    const std::string field = dot == std::string::npos ? "" : name.substr(dot + 1);
    if (field == "bytes" && found.bytes.empty()) {
      found.bytes = name;
    } else if (field == "path" && found.path.empty()) {
      found.path = name;
    } else if (to_lower_ascii(name) == "id" || to_lower_ascii(name) == "utterance_id") {
      found.id = name;
    } else if (const auto column = meaning_of(name)) {
      found.meaning.emplace(*column, name);
    }
  }
  const auto given = found.meaning.find(Column::kFile);
  if (found.bytes.empty() && found.path.empty() && given != found.meaning.end())
    found.path = given->second;
  const std::string names = join(reader.columns(), ", ");
  if (found.bytes.empty() && found.path.empty())
    throw DataError("no column of recordings in the parquet file", file.string(),
                    "it has " + names + "; wanted is audio with bytes or a path");
  if (!found.meaning.contains(Column::kText) && !found.meaning.contains(Column::kNormalised))
    throw DataError("no column of texts in the parquet file", file.string(),
                    "it has " + names + "; wanted is text, transcription or sentence");
  return found;
}

// The rows of one file; the recordings' bytes are not read.
class File {
 public:
  File(const fs::path& file, Columns columns)
      : file_(file), columns_(std::move(columns)), reader_(file, wanted()) {}

  bool next(Utterance& row) {
    if (!reader_.next(values_)) return false;
    ++number_;
    row = {};
    row.where = file_.filename().string() + " row " + std::to_string(number_ + 1);
    row.audio = text(columns_.path);
    row.id = text(columns_.id);
    row.text = of(Column::kNormalised).empty() ? of(Column::kText) : of(Column::kNormalised);
    row.speaker = of(Column::kSpeaker);
    row.language = of(Column::kLanguage);
    row.instruct = of(Column::kInstruct);
    row.recording = of(Column::kRecording);
    if (!columns_.bytes.empty()) row.part = RecordingPart{file_, 0, 0, number_};
    return true;
  }
  bool embedded() const { return !columns_.bytes.empty(); }

 private:
  std::vector<std::string> wanted() const {
    std::vector<std::string> names;
    for (const std::string& name : {columns_.path, columns_.id})
      if (!name.empty()) names.push_back(name);
    for (const auto& [column, name] : columns_.meaning) names.push_back(name);
    return names;
  }
  std::string of(Column column) const {
    const auto name = columns_.meaning.find(column);
    return name == columns_.meaning.end() ? "" : text(name->second);
  }
  std::string text(const std::string& column) const {
    const int64_t at = column.empty() ? -1 : reader_.column(column);
    if (at < 0) return {};
    const ParquetValue& value = values_[static_cast<size_t>(at)];
    if (const auto* words = std::get_if<std::string>(&value)) return *words;
    if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
    return {};
  }

  fs::path file_;
  Columns columns_;
  ParquetReader reader_;
  ParquetRow values_;
  int64_t number_ = -1;
};

std::string bad_text(const Utterance& row) {
  for (const std::string* text : {&row.text, &row.speaker, &row.id, &row.audio}) {
    if (!is_valid_utf8(*text)) return "the row is not UTF-8";
    if (text->find('\0') != std::string::npos) return "there is a NUL in the row";
  }
  return {};
}

}  // namespace

bool holds_parquet(const fs::path& source) {
  return !parquet_in(source).empty();
}

ImportedSet import_parquet(const fs::path& source, const ImportDefaults& defaults) {
  const std::vector<fs::path> files = parquet_in(source);
  ImportCollector rows("parquet", files.front().parent_path(), defaults);
  std::vector<Utterance> read;
  RowNames names;
  for (const fs::path& given : files) {
    const fs::path path = fs::absolute(given).lexically_normal();
    File file(path, columns_of(path));
    int64_t number = 0;
    for (Utterance row; file.next(row);) {
      ++number;
      if (row.id.empty() && row.audio.empty()) {
        char id[32];
        std::snprintf(id, sizeof id, "-%06lld", static_cast<long long>(number));
        row.id = path.stem().string() + id;
      }
      if (row.id.empty()) names.count(row.audio);
      if (!file.embedded()) {
        row.audio_path = rows.find_file(row.audio);
        row.audio = rows.row_path(row.audio, row.audio_path);
      }
      read.push_back(std::move(row));
    }
  }
  for (Utterance& row : read) {
    if (const std::string bad = bad_text(row); !bad.empty()) {
      rows.reject(row.where, row.where, bad, "row_malformed");
      continue;
    }
    if (row.id.empty()) row.id = names.id_of(row.audio);
    if (row.part) row.audio.clear();  // a name inside the file, not a path
    rows.add(std::move(row));
  }
  return rows.finish(source);
}

}  // namespace ttsft
