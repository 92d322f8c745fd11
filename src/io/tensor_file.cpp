#include "ttsft/io/tensor_file.h"

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

}  // namespace ttsft
