#include "ttsft/io/parquet.h"

#include <dlfcn.h>

#include <algorithm>
#include <stdexcept>

#include "parquet_module.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

struct Opened {
  ParquetModule* module = nullptr;
  std::string reason;
};

const Opened& opened() {
  static const Opened result = [] {
    Opened made;
    void* handle = dlopen("libttsft_parquet.so", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* text = dlerror();
      made.reason = text ? text : "libttsft_parquet.so cannot be opened";
      return made;
    }
    const auto function =
        reinterpret_cast<ParquetModuleFunction>(dlsym(handle, kParquetModuleFunction));
    if (function) made.module = function();
    return made;
  }();
  return result;
}

ParquetModule& module_for(const fs::path& file) {
  if (opened().module) return *opened().module;
  throw UsageError("parquet cannot be read or written here (" + opened().reason + ")",
                   file.string(), "run tools/setup, which fetches Arrow, and build again");
}

}  // namespace

bool parquet_available() {
  return opened().module != nullptr;
}

struct ParquetReader::Impl {
  fs::path file;
  std::unique_ptr<ParquetSource> source;
};

ParquetReader::ParquetReader(const fs::path& file, const std::vector<std::string>& only)
    : impl_(std::make_unique<Impl>()) {
  impl_->file = file;
  ParquetModule& module = module_for(file);
  try {
    impl_->source = module.open(file.string(), only);
  } catch (const std::exception& error) {
    throw DataError(error.what(), file.string(), "is this a parquet file?");
  }
}

ParquetReader::~ParquetReader() = default;

const std::vector<std::string>& ParquetReader::columns() const {
  return impl_->source->columns;
}

int64_t ParquetReader::column(std::string_view name) const {
  const auto& names = columns();
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? -1 : found - names.begin();
}

bool ParquetReader::next(ParquetRow& row) {
  try {
    return impl_->source->next(row);
  } catch (const std::exception& error) {
    throw DataError(error.what(), impl_->file.string(), "the file may be damaged");
  }
}

struct ParquetWriter::Impl {
  fs::path file;
  size_t columns = 0;
  std::unique_ptr<ParquetSink> sink;
};

ParquetWriter::ParquetWriter(fs::path file,
                             const std::vector<std::pair<std::string, ParquetKind>>& columns)
    : impl_(std::make_unique<Impl>()) {
  impl_->columns = columns.size();
  impl_->sink = module_for(file).create(columns);
  impl_->file = std::move(file);
}

ParquetWriter::~ParquetWriter() = default;

void ParquetWriter::add(const ParquetRow& row) {
  if (row.size() != impl_->columns) throw std::logic_error("ParquetWriter: a row of another width");
  try {
    impl_->sink->add(row);
  } catch (const std::bad_variant_access&) {
    throw std::logic_error("ParquetWriter: a value of another kind than its column");
  }
}

void ParquetWriter::finish() {
  AtomicFile file(impl_->file);
  try {
    impl_->sink->write(file.stream());
  } catch (const std::exception& error) {
    throw RunError(error.what(), impl_->file.string());
  }
  file.commit();
}

}  // namespace ttsft
