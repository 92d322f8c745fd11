#include "ttsft/io/tensor_file.h"

#include <algorithm>
#include <array>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

struct DTypeInfo {
  std::string_view name;
  int64_t size;
};

// In the order of DType.
constexpr std::array<DTypeInfo, 10> kDTypes = {{{"BOOL", 1},
                                                {"U8", 1},
                                                {"I8", 1},
                                                {"I16", 2},
                                                {"I32", 4},
                                                {"I64", 8},
                                                {"F16", 2},
                                                {"BF16", 2},
                                                {"F32", 4},
                                                {"F64", 8}}};

const DTypeInfo& info(DType dtype) {
  return kDTypes.at(static_cast<size_t>(dtype));
}

}  // namespace

int64_t dtype_size(DType dtype) {
  return info(dtype).size;
}

std::string_view dtype_name(DType dtype) {
  return info(dtype).name;
}

DType dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes[i].name == name) return static_cast<DType>(i);
  }
  throw DataError("unknown data type '" + std::string(name) + "'");
}

int64_t shape_size(const Shape& shape) {
  int64_t size = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(size, dimension, &size)) {
      throw DataError("shape " + shape_text(shape) + " is negative or too large");
    }
  }
  return size;
}

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (const int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text + "]";
}

namespace {

bool by_name(const TensorView& view, std::string_view name) {
  return view.name < name;
}

}  // namespace

const TensorView* TensorFile::find(std::string_view name) const {
  const auto place = std::lower_bound(tensors_.begin(), tensors_.end(), name, by_name);
  return place != tensors_.end() && place->name == name ? &*place : nullptr;
}

const TensorView& TensorFile::at(std::string_view name) const {
  if (const TensorView* view = find(name)) return *view;
  throw DataError("tensor '" + std::string(name) + "' is missing", path_.string());
}

void TensorFile::sort() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(tensors_.begin(), tensors_.end(),
                         [](const TensorView& a, const TensorView& b) { return a.name == b.name; });
  if (twice != tensors_.end())
    throw DataError("tensor '" + twice->name + "' stands twice", path_.string());
}

DerivedTensors::DerivedTensors(std::shared_ptr<const TensorFile> source)
    : source_(std::move(source)) {
  path_ = source_->path();
  metadata_ = source_->metadata();
}

void DerivedTensors::keep(const TensorView& view) {
  tensors_.push_back(view);
}

void DerivedTensors::add(const std::string& name, DType dtype, const Shape& shape,
                         std::vector<std::byte> bytes) {
  computed_.push_back(std::make_unique<std::vector<std::byte>>(std::move(bytes)));
  tensors_.push_back({name, dtype, shape, *computed_.back()});
}

}  // namespace ttsft
