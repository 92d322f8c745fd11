// Records of comma separated values with quotes (RFC 4180): none of the libraries here reads them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

// The cells of one record. Null: a quote is still open at its end.
std::optional<std::vector<std::string>> csv_cells(std::string_view record);

// One line, without its end: cells in quotes where they need them.
std::string csv_record(const std::vector<std::string>& cells);

// A table whose first line names the columns; every row has a cell for each of them.
struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  // Where the column stands; DataError names the file when it has none.
  size_t column(const std::string& name) const;
  std::string file;  // for error lines
};

// UTF-8, with or without a byte order mark. DataError: it cannot be read, a quote is not closed, a
// row has another number of cells; it names the line.
CsvTable read_csv(const std::filesystem::path& file);

}  // namespace ttsft
