// Dimensions of a network from the shapes of its tensors: many releases come without a
// configuration file.
#pragma once

#include <string>

#include "ttsft/io/tensor_file.h"

namespace ttsft {

// The shape of a tensor that must have that many dimensions; DataError that names file and tensor.
const Shape& shape_of(const TensorFile& file, const std::string& name, size_t dimensions);

// How many numbers i from `first` on have a tensor <before><i><after>, without a gap.
int64_t count_tensors(const TensorFile& file, const std::string& before, const std::string& after,
                      int64_t first = 0);

}  // namespace ttsft
