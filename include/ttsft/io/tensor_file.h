// Named arrays as they lie in files, without LibTorch: what safetensors (and later .pt and .npy)
// readers yield.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

enum class DType { kBool, kU8, kI8, kI16, kI32, kI64, kF16, kBF16, kF32, kF64 };

int64_t dtype_size(DType dtype);               // bytes per value
std::string_view dtype_name(DType dtype);      // safetensors' spelling: "F32", "BF16", ...
DType dtype_from_name(std::string_view name);  // throws DataError

using Shape = std::vector<int64_t>;
int64_t shape_size(const Shape& shape);      // number of values
std::string shape_text(const Shape& shape);  // "[2, 3]"

// A view into a mapped file or into a buffer; valid as long as its owner.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
};

}  // namespace ttsft
