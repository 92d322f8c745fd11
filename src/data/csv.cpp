#include "ttsft/data/csv.h"

#include <algorithm>

#include "import.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {

std::optional<std::vector<std::string>> csv_cells(std::string_view record) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < record.size(); ++i) {
    const char c = record[i];
    if (quoted) {
      if (c != '"') {
        cells.back() += c;
      } else if (i + 1 < record.size() && record[i + 1] == '"') {
        cells.back() += record[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && trim(cells.back()).empty()) {
      quoted = true;
      cells.back().clear();
    } else if (c == ',') {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  if (quoted) return std::nullopt;
  return cells;
}

std::string csv_record(const std::vector<std::string>& cells) {
  std::string record;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) record += ',';
    const std::string& cell = cells[i];
    // Spaces at an end would be trimmed by many readers.
    const bool plain = cell.find_first_of(",\"\r\n") == std::string::npos && cell == trim(cell);
    if (plain) {
      record += cell;
      continue;
    }
    record += '"';
    for (const char c : cell) record += c == '"' ? std::string("\"\"") : std::string(1, c);
    record += '"';
  }
  return record;
}

size_t CsvTable::column(const std::string& name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end())
    throw DataError("no column '" + name + "' among " + join(columns, ", "), file,
                    "give it a first line of names with that one");
  return static_cast<size_t>(found - columns.begin());
}

CsvTable read_csv(const std::filesystem::path& file) {
  CsvTable table;
  table.file = file.string();
  const std::vector<SourceLine> lines = read_lines(file);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string where = place(file, lines[i].number);
    if (!lines[i].bad.empty()) throw DataError(lines[i].bad, where, "correct that line");
    std::string record = lines[i].text;
    auto cells = csv_cells(record);
    while (!cells && i + 1 < lines.size()) {  // a text in quotes may go on in the next line
      record += "\n" + lines[++i].text;
      cells = csv_cells(record);
    }
    if (!cells) throw DataError("a quote is not closed", where, "close it");
    if (table.columns.empty()) {
      for (std::string& name : *cells) name = trim(name);
      table.columns = std::move(*cells);
    } else if (cells->size() != table.columns.size()) {
      throw DataError(std::to_string(cells->size()) + " cells, but " +
                          std::to_string(table.columns.size()) + " columns",
                      where, "put a text with commas between quotes");
    } else {
      table.rows.push_back(std::move(*cells));
    }
  }
  return table;
}

}  // namespace ttsft
