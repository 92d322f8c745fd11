#include "ttsft/io/tensor_shapes.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

class TensorShapes : public ::testing::Test {
 protected:
  SafetensorsReader file_with(const std::vector<std::pair<std::string, Shape>>& tensors) {
    const std::vector<std::byte> zeros(1024);
    std::vector<TensorView> views;
    for (const auto& [name, shape] : tensors) {
      const auto bytes = static_cast<size_t>(shape_size(shape) * 4);
      views.push_back({name, DType::kF32, shape, std::span(zeros).first(bytes)});
    }
    write_safetensors(folder_.path() / "x.safetensors", views);
    return SafetensorsReader::open(folder_.path() / "x.safetensors");
  }

  TemporaryFolder folder_;
};

TEST_F(TensorShapes, ShapeOfThatManyDimensions) {
  const SafetensorsReader file = file_with({{"w", {2, 3}}});
  EXPECT_EQ(shape_of(file, "w", 2), (Shape{2, 3}));
  EXPECT_THROW(shape_of(file, "v", 2), DataError);
  try {
    shape_of(file, "w", 3);
    ADD_FAILURE() << "a matrix is no convolution";
  } catch (const DataError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("w has the shape [2, 3] instead of 3 dimensions"), std::string::npos);
    EXPECT_NE(text.find("x.safetensors"), std::string::npos) << text;
  }
}

TEST_F(TensorShapes, CountsUpToTheFirstGap) {
  const SafetensorsReader file =
      file_with({{"l.0.w", {1}}, {"l.1.w", {1}}, {"l.3.w", {1}}, {"b1", {1}}, {"b2", {1}}});
  EXPECT_EQ(count_tensors(file, "l.", ".w"), 2);
  EXPECT_EQ(count_tensors(file, "l.", ".x"), 0);
  EXPECT_EQ(count_tensors(file, "b", "", 1), 2);
}

}  // namespace
}  // namespace ttsft
