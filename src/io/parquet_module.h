// What libttsft_parquet.so (src/parquet) gives io/parquet. A library of its own because Arrow
// carries, and exports, a copy of Protocol Buffers: linked beside SentencePiece, which carries
// another, one would be called in place of the other. Opened by itself it sees to its own.
//
// All functions throw std::runtime_error with Arrow's words; add() std::bad_variant_access.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ttsft/io/parquet.h"

namespace ttsft {

using ParquetColumns = std::vector<std::pair<std::string, ParquetKind>>;

class ParquetSource {
 public:
  virtual ~ParquetSource() = default;
  virtual bool next(ParquetRow& row) = 0;
  std::vector<std::string> columns;
};

class ParquetSink {
 public:
  virtual ~ParquetSink() = default;
  virtual void add(const ParquetRow& row) = 0;
  virtual void write(std::ostream& stream) = 0;
};

class ParquetModule {
 public:
  virtual ~ParquetModule() = default;
  virtual std::unique_ptr<ParquetSource> open(const std::string& file,
                                              const std::vector<std::string>& only) = 0;
  virtual std::unique_ptr<ParquetSink> create(const ParquetColumns& columns) = 0;
};

using ParquetModuleFunction = ParquetModule* (*)();
inline constexpr const char* kParquetModuleFunction = "ttsft_parquet_module";

}  // namespace ttsft
