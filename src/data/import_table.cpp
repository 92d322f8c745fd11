// Tables of recordings and texts: LJSpeech's metadata.csv, and others whose columns a header line
// or data.columns names.
#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

#include "import.h"
#include "table_columns.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/data/csv.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// The first column is an id ("x") or a path ("x.wav", "wavs/x.wav").
fs::path find_audio(const ImportCollector& rows, const fs::path& folder, const std::string& name) {
  if (has_audio_extension(name)) {
    fs::path found = rows.find_file(name);
    for (const char* parent : {"wavs", "clips"})
      if (found.empty()) found = rows.find_file((folder / parent / name).string());
    return found;
  }
  if (name.empty()) return {};
  for (const char* parent : {"wavs", "clips", "."}) {
    for (const std::string& extension : audio_extensions()) {
      const fs::path found =
          rows.find_like((folder / parent / (name + extension)).lexically_normal());
      if (!found.empty()) return found;
    }
  }
  return {};
}

char separator_of(const std::vector<SourceLine>& lines, const fs::path& file) {
  if (to_lower_ascii(file.extension().string()) == ".tsv") return '\t';
  for (const char separator : {'|', '\t', ','}) {
    const auto with = std::count_if(lines.begin(), lines.end(), [&](const SourceLine& line) {
      return line.text.find(separator) != std::string::npos;
    });
    if (2 * with >= std::ssize(lines)) return separator;
  }
  return '|';
}

std::vector<TableRow> read_rows(const std::vector<SourceLine>& lines, char separator,
                                const fs::path& file) {
  std::vector<TableRow> rows;
  for (size_t i = 0; i < lines.size(); ++i) {
    TableRow row{place(file, lines[i].number), {}, lines[i].bad};
    if (separator != ',') {
      row.cells = split(lines[i].text, separator);
    } else {
      // A text in quotes may go on in the next line.
      std::string record = lines[i].text;
      size_t last = i;
      auto cells = csv_cells(record);
      while (!cells && last + 1 < lines.size()) {
        record += " " + lines[++last].text;
        cells = csv_cells(record);
      }
      if (cells) {
        row.cells = *cells;
        i = last;
      } else {
        row.cells = split(lines[i].text, ',');
        row.bad = "a quote is not closed";
      }
    }
    for (std::string& cell : row.cells) cell = trim(cell);
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Table {
  std::vector<Column> columns;
  std::vector<TableRow> rows;
};

Table understand(const fs::path& file, const ImportCollector& collector,
                 const ImportDefaults& defaults) {
  const std::vector<SourceLine> lines = read_lines(file);
  const char separator = separator_of(lines, file);
  Table table{columns_of_words(defaults.columns), read_rows(lines, separator, file)};
  if (table.rows.empty()) return table;
  const TableRow first = table.rows.front();
  // A recording of that name makes it a row.
  const bool names =
      find_audio(collector, file.parent_path(), first.cells.front()).empty() && first.bad.empty();
  if (const auto header = names ? columns_of_header(first.cells, first.where) : std::nullopt) {
    if (table.columns.empty()) {
      table.columns = *header;
      for (size_t i = 0; i < header->size(); ++i)
        if ((*header)[i] == Column::kIgnored)
          log_info("column '", first.cells[i], "' of ", file.filename().string(), " is not read");
    }
    table.rows.erase(table.rows.begin());
  }
  if (table.columns.empty() && separator == ',')
    throw DataError("the columns are separated by commas, and no line of names says what they are",
                    first.where,
                    "write id|text with | between them, a first line such as file,text, or set "
                    "data.columns: [file, text]");
  if (table.columns.empty()) {
    table.columns = columns_by_evidence(table.rows, first.where);
    return table;
  }
  for (TableRow& row : table.rows)
    if (row.bad.empty() && row.cells.size() != table.columns.size())
      row.bad = std::to_string(row.cells.size()) + " columns, not " +
                std::to_string(table.columns.size());
  return table;
}

// A table whose paths are those of another machine: a recording of that name beside it, where no
// other row wants one of the same name.
class ByName {
 public:
  ByName(const ImportCollector& rows, fs::path folder, const std::vector<std::string>& names)
      : rows_(rows), folder_(std::move(folder)) {
    for (const std::string& name : std::set<std::string>(names.begin(), names.end()))
      ++count_[file_of(name)];
  }
  fs::path find(const std::string& name) {
    const std::string file = file_of(name);
    if (file == name || count_[file] > 1) return {};
    fs::path found = find_audio(rows_, folder_, file);
    found_ += !found.empty();
    return found;
  }
  void report(const fs::path& table) const {
    if (found_ > 0)
      log_warning(found_, " recordings were found by their names beside ", table.string(),
                  ": its paths lead nowhere");
  }

 private:
  static std::string file_of(const std::string& name) {
    return name.substr(name.find_last_of("/\\") + 1);
  }
  const ImportCollector& rows_;
  fs::path folder_;
  std::map<std::string, int> count_;
  int64_t found_ = 0;
};

ImportedSet import_columns(const fs::path& given, const ImportDefaults& defaults,
                           const std::string& format) {
  const fs::path file = fs::absolute(given).lexically_normal();
  const fs::path folder = file.parent_path();
  ImportCollector rows(format, folder, defaults);
  const Table table = understand(file, rows, defaults);
  const auto cell = [&](const TableRow& row, Column column) -> std::string {
    const auto at = std::find(table.columns.begin(), table.columns.end(), column);
    const auto i = static_cast<size_t>(at - table.columns.begin());
    return i < row.cells.size() && at != table.columns.end() ? row.cells[i] : "";
  };
  RowNames ids;
  std::vector<std::string> names;
  for (const TableRow& row : table.rows) {
    if (!row.bad.empty()) continue;
    names.push_back(cell(row, Column::kFile));
    ids.count(names.back());
  }
  ByName by_name(rows, folder, names);
  for (const TableRow& source : table.rows) {
    const std::string name = cell(source, Column::kFile),
                      normalised = cell(source, Column::kNormalised);
    if (!source.bad.empty() || name.empty()) {
      rows.reject(source.where, source.where,
                  source.bad.empty() ? "the column of the recording is empty" : source.bad,
                  "row_malformed");
      continue;
    }
    Utterance row;
    row.id = ids.id_of(name);
    row.audio_path = find_audio(rows, folder, name);
    if (row.audio_path.empty()) row.audio_path = by_name.find(name);
    row.audio = rows.row_path(name, row.audio_path);
    row.text = normalised.empty() ? cell(source, Column::kText) : normalised;
    row.speaker = cell(source, Column::kSpeaker);
    row.language = cell(source, Column::kLanguage);
    row.instruct = cell(source, Column::kInstruct);
    row.reference = cell(source, Column::kReference);
    row.recording = cell(source, Column::kRecording);
    row.where = source.where;
    rows.add(std::move(row));
  }
  by_name.report(file);
  return rows.finish(given);
}

// "ZH", "en", "all_zh"
bool is_language(const std::string& word) {
  return !word.empty() && word.size() <= 8 &&
         std::all_of(word.begin(), word.end(),
                     [](unsigned char c) { return std::isalpha(c) || c == '_' || c == '-'; });
}

}  // namespace

ImportedSet import_table(const fs::path& file, const ImportDefaults& defaults) {
  return import_columns(file, defaults, "LJSpeech");
}

ImportedSet import_list(const fs::path& file, const ImportDefaults& given) {
  ImportDefaults defaults = given;
  if (defaults.columns.empty()) {
    const std::vector<SourceLine> lines = read_lines(file);
    int64_t fitting = 0;
    std::map<size_t, int64_t> widths;
    for (const SourceLine& line : lines) {
      const std::vector<std::string> cells = split(line.text, '|');
      ++widths[cells.size()];
      fitting += cells.size() > 3 && is_language(trim(cells[2]));
    }
    if (lines.empty() || 10 * fitting < 9 * std::ssize(lines))
      throw DataError("not path|speaker|language|text",
                      place(file, lines.empty() ? 1 : lines[0].number),
                      "say what the columns are in data.columns, for example [file, text]");
    defaults.columns = {"file", "speaker", "language", "text"};
    const auto usual =
        std::max_element(widths.begin(), widths.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    // Phonemes and what else Bert-VITS2 keeps behind the text.
    for (size_t i = 4; i < usual->first; ++i) defaults.columns.emplace_back("-");
  }
  return import_columns(file, defaults, ".list");
}

}  // namespace ttsft
