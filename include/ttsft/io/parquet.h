// Parquet files of text, bytes, numbers and lists of numbers, which tools of this field keep their
// sets in. Built on Arrow C++ where tools/setup has put it; without it parquet_available() is false
// and the rest throws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ttsft {

bool parquet_available();

// Text and bytes are both strings; monostate: null.
using ParquetValue = std::variant<std::monostate, std::string, int64_t, double,
                                  std::vector<int64_t>, std::vector<double>>;
using ParquetRow = std::vector<ParquetValue>;  // as many as there are columns

enum class ParquetKind { kText, kBytes, kInteger, kNumber, kIntegers, kNumbers };

// The rows of a file, one after the other; a batch of them is in memory at a time.
class ParquetReader {
 public:
  // only: the columns that are read, all where it is empty. The fields of a struct are columns of
  // their own, "audio.bytes" and "audio.path". DataError: no parquet file; in next(), a column of a
  // type that is not known. UsageError without Arrow.
  explicit ParquetReader(const std::filesystem::path& file,
                         const std::vector<std::string>& only = {});
  ~ParquetReader();
  ParquetReader(const ParquetReader&) = delete;
  ParquetReader& operator=(const ParquetReader&) = delete;

  const std::vector<std::string>& columns() const;
  int64_t column(std::string_view name) const;  // -1 when there is none
  bool next(ParquetRow& row);                   // false behind the last one

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Snappy, one group of rows, as pandas writes it. Atomic: the file is there after finish().
class ParquetWriter {
 public:
  ParquetWriter(std::filesystem::path file,
                const std::vector<std::pair<std::string, ParquetKind>>& columns);
  ~ParquetWriter();
  ParquetWriter(const ParquetWriter&) = delete;
  ParquetWriter& operator=(const ParquetWriter&) = delete;

  void add(const ParquetRow& row);  // std::logic_error: a value of another kind than its column
  void finish();                    // RunError: the disk is full and the like

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttsft
