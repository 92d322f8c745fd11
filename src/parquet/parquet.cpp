// io/parquet by Arrow C++: libttsft_parquet.so, which is opened when the first file is.
#include <arrow/api.h>
#include <arrow/io/api.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/schema.h>

#include <algorithm>
#include <numeric>
#include <ostream>
#include <stdexcept>

#include "src/io/parquet_module.h"

namespace ttsft {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what);
}

void check(const arrow::Status& status) {
  if (!status.ok()) fail(status.message());
}

template <typename Result>
auto value_of(Result&& result) {
  check(result.status());
  return std::move(result).ValueOrDie();
}

template <typename List, typename Number>
ParquetValue list_value(const arrow::Array& values, int64_t begin, int64_t end) {
  const auto& numbers = static_cast<const typename arrow::TypeTraits<Number>::ArrayType&>(values);
  List list;
  for (int64_t i = begin; i < end; ++i)
    list.push_back(static_cast<typename List::value_type>(numbers.Value(i)));
  return list;
}

ParquetValue list_of(const arrow::Array& values, int64_t begin, int64_t end) {
  using Integers = std::vector<int64_t>;
  using Numbers = std::vector<double>;
  switch (values.type_id()) {
    case arrow::Type::INT32:
      return list_value<Integers, arrow::Int32Type>(values, begin, end);
    case arrow::Type::INT64:
      return list_value<Integers, arrow::Int64Type>(values, begin, end);
    case arrow::Type::FLOAT:
      return list_value<Numbers, arrow::FloatType>(values, begin, end);
    case arrow::Type::DOUBLE:
      return list_value<Numbers, arrow::DoubleType>(values, begin, end);
    default:
      fail("a list of " + values.type()->ToString() + " is not known; write true lists of numbers");
  }
}

ParquetValue cell(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return {};
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return std::string(static_cast<const arrow::BinaryArray&>(array).GetView(row));
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return std::string(static_cast<const arrow::LargeBinaryArray&>(array).GetView(row));
    case arrow::Type::INT32:
      return int64_t{static_cast<const arrow::Int32Array&>(array).Value(row)};
    case arrow::Type::INT64:
      return static_cast<const arrow::Int64Array&>(array).Value(row);
    case arrow::Type::FLOAT:
      return double{static_cast<const arrow::FloatArray&>(array).Value(row)};
    case arrow::Type::DOUBLE:
      return static_cast<const arrow::DoubleArray&>(array).Value(row);
    case arrow::Type::LIST: {
      const auto& list = static_cast<const arrow::ListArray&>(array);
      return list_of(*list.values(), list.value_offset(row), list.value_offset(row + 1));
    }
    case arrow::Type::LARGE_LIST: {
      const auto& list = static_cast<const arrow::LargeListArray&>(array);
      return list_of(*list.values(), list.value_offset(row), list.value_offset(row + 1));
    }
    default:
      fail("a column of type " + array.type()->ToString() + " is not known");
  }
}

// Arrow's output into a stream of ours.
class StreamOutput : public arrow::io::OutputStream {
 public:
  explicit StreamOutput(std::ostream& stream) : stream_(stream) {}
  arrow::Status Write(const void* data, int64_t bytes) override {
    stream_.write(static_cast<const char*>(data), bytes);
    written_ += bytes;
    return stream_ ? arrow::Status::OK() : arrow::Status::IOError("cannot be written");
  }
  arrow::Result<int64_t> Tell() const override { return written_; }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }

 private:
  std::ostream& stream_;
  int64_t written_ = 0;
  bool closed_ = false;
};

std::shared_ptr<arrow::DataType> type_of(ParquetKind kind) {
  switch (kind) {
    case ParquetKind::kText:
      return arrow::utf8();
    case ParquetKind::kBytes:
      return arrow::binary();
    case ParquetKind::kInteger:
      return arrow::int64();
    case ParquetKind::kNumber:
      return arrow::float64();
    case ParquetKind::kIntegers:
      return arrow::list(arrow::int64());
    case ParquetKind::kNumbers:
      return arrow::list(arrow::float64());
  }
  throw std::logic_error("ParquetKind");
}

template <typename Builder, typename Values>
void append_list(arrow::ArrayBuilder& builder, const Values& values) {
  auto& list = static_cast<arrow::ListBuilder&>(builder);
  check(list.Append());
  check(static_cast<Builder&>(*list.value_builder()).AppendValues(values));
}

void append(arrow::ArrayBuilder& builder, const ParquetValue& value, ParquetKind kind) {
  if (std::holds_alternative<std::monostate>(value)) return check(builder.AppendNull());
  switch (kind) {
    case ParquetKind::kText:
    case ParquetKind::kBytes:
      return check(
          static_cast<arrow::BinaryBuilder&>(builder).Append(std::get<std::string>(value)));
    case ParquetKind::kInteger:
      return check(static_cast<arrow::Int64Builder&>(builder).Append(std::get<int64_t>(value)));
    case ParquetKind::kNumber:
      return check(static_cast<arrow::DoubleBuilder&>(builder).Append(std::get<double>(value)));
    case ParquetKind::kIntegers:
      return append_list<arrow::Int64Builder>(builder, std::get<std::vector<int64_t>>(value));
    case ParquetKind::kNumbers:
      return append_list<arrow::DoubleBuilder>(builder, std::get<std::vector<double>>(value));
  }
}

// Arrow's numbers of the leaves below the columns called `only`.
std::vector<int> leaves_of(const parquet::FileMetaData& file,
                           const std::vector<std::string>& only) {
  std::vector<int> leaves;
  for (int i = 0; i < file.num_columns(); ++i) {
    const std::string leaf = file.schema()->Column(i)->path()->ToDotString();
    const bool wanted = std::any_of(only.begin(), only.end(), [&](const std::string& name) {
      return leaf == name || leaf.starts_with(name + ".");
    });
    if (wanted) leaves.push_back(i);
  }
  return leaves;
}

class Source : public ParquetSource {
 public:
  Source(const std::string& file, const std::vector<std::string>& only) {
    parquet::ArrowReaderProperties properties;
    properties.set_batch_size(64);
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(value_of(arrow::io::ReadableFile::Open(file))));
    reader_ = value_of(builder.properties(properties)->Build());
    if (only.empty()) {
      batches_ = value_of(reader_->GetRecordBatchReader());
    } else {
      std::vector<int> groups(static_cast<size_t>(reader_->num_row_groups()));
      std::iota(groups.begin(), groups.end(), 0);
      batches_ = value_of(reader_->GetRecordBatchReader(
          groups, leaves_of(*reader_->parquet_reader()->metadata(), only)));
    }
    for (const auto& field : batches_->schema()->fields()) {
      if (field->type()->id() != arrow::Type::STRUCT) {
        columns.push_back(field->name());
        continue;
      }
      for (const auto& inner : field->type()->fields())
        columns.push_back(field->name() + "." + inner->name());
    }
  }

  bool next(ParquetRow& row) override {
    while (!batch_ || row_ == batch_->num_rows()) {
      check(batches_->ReadNext(&batch_));
      if (!batch_) return false;
      row_ = 0;
    }
    row.clear();
    for (const auto& column : batch_->columns()) {
      if (column->type_id() != arrow::Type::STRUCT) {
        row.push_back(cell(*column, row_));
        continue;
      }
      const auto& whole = static_cast<const arrow::StructArray&>(*column);
      for (const auto& inner : whole.fields())
        row.push_back(whole.IsNull(row_) ? ParquetValue{} : cell(*inner, row_));
    }
    ++row_;
    return true;
  }

 private:
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t row_ = 0;
};

class Sink : public ParquetSink {
 public:
  explicit Sink(const ParquetColumns& columns) {
    std::vector<std::shared_ptr<arrow::Field>> fields;
    for (const auto& [name, kind] : columns) {
      fields.push_back(arrow::field(name, type_of(kind)));
      kinds_.push_back(kind);
      builders_.push_back(value_of(arrow::MakeBuilder(type_of(kind))));
    }
    schema_ = arrow::schema(fields);
  }

  void add(const ParquetRow& row) override {
    for (size_t i = 0; i < row.size(); ++i) append(*builders_[i], row[i], kinds_[i]);
    ++rows_;
  }

  void write(std::ostream& stream) override {
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (const auto& builder : builders_) arrays.push_back(value_of(builder->Finish()));
    const auto table = arrow::Table::Make(schema_, arrays, rows_);
    const auto properties =
        parquet::WriterProperties::Builder().compression(arrow::Compression::SNAPPY)->build();
    check(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(),
                                     std::make_shared<StreamOutput>(stream),
                                     std::max<int64_t>(1, rows_), properties));
  }

 private:
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<ParquetKind> kinds_;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders_;
  int64_t rows_ = 0;
};

class Module : public ParquetModule {
 public:
  std::unique_ptr<ParquetSource> open(const std::string& file,
                                      const std::vector<std::string>& only) override {
    return std::make_unique<Source>(file, only);
  }
  std::unique_ptr<ParquetSink> create(const ParquetColumns& columns) override {
    return std::make_unique<Sink>(columns);
  }
};

}  // namespace
}  // namespace ttsft

extern "C" __attribute__((visibility("default"))) ttsft::ParquetModule* ttsft_parquet_module() {
  static ttsft::Module module;
  return &module;
}
