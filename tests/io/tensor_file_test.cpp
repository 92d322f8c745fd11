#include "ttsft/io/tensor_file.h"

#include <gtest/gtest.h>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

TEST(TensorFile, NamesAndSizesOfDataTypes) {
  const std::vector<std::pair<DType, int64_t>> sizes = {
      {DType::kBool, 1}, {DType::kU8, 1},  {DType::kI8, 1},   {DType::kI16, 2}, {DType::kI32, 4},
      {DType::kI64, 8},  {DType::kF16, 2}, {DType::kBF16, 2}, {DType::kF32, 4}, {DType::kF64, 8}};
  for (const auto& [dtype, size] : sizes) {
    EXPECT_EQ(dtype_size(dtype), size);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_name(DType::kBF16), "BF16");
  EXPECT_THROW(dtype_from_name("F8_E4M3"), DataError);
  EXPECT_THROW(dtype_from_name("f32"), DataError);
}

TEST(TensorFile, ShapeSize) {
  EXPECT_EQ(shape_size({}), 1);
  EXPECT_EQ(shape_size({2, 3}), 6);
  EXPECT_EQ(shape_size({2, 0}), 0);
  EXPECT_THROW(shape_size({-1}), DataError);
  EXPECT_THROW(shape_size({int64_t{1} << 40, int64_t{1} << 40}), DataError);
}

TEST(TensorFile, ShapeText) {
  EXPECT_EQ(shape_text({2, 3}), "[2, 3]");
  EXPECT_EQ(shape_text({}), "[]");
}

}  // namespace
}  // namespace ttsft
