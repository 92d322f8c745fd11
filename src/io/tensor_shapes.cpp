#include "ttsft/io/tensor_shapes.h"

#include "ttsft/core/error.h"

namespace ttsft {

const Shape& shape_of(const TensorFile& file, const std::string& name, size_t dimensions) {
  const TensorView& view = file.at(name);
  if (view.shape.size() != dimensions) {
    throw DataError(name + " has the shape " + shape_text(view.shape) + " instead of " +
                        std::to_string(dimensions) + " dimensions",
                    file.path().string(), "is this the file of another model?");
  }
  return view.shape;
}

int64_t count_tensors(const TensorFile& file, const std::string& before, const std::string& after,
                      int64_t first) {
  int64_t next = first;
  while (file.find(before + std::to_string(next) + after)) ++next;
  return next - first;
}

}  // namespace ttsft
