// numpy's .npy files: one array each. Format: numpy/lib/format.py, versions 1.0 to 3.0.
#pragma once

#include <filesystem>
#include <memory>

#include "ttsft/io/durability.h"
#include "ttsft/io/tensor_file.h"

namespace ttsft {

class MappedFile;

// A mapped array of plain numbers, little-endian, in C order. As a TensorFile it holds one tensor
// whose name is "".
class NpyFile : public TensorFile {
 public:
  // DataError: no such file, cut short, big-endian, in Fortran order, or of objects or structures.
  static std::shared_ptr<const NpyFile> open(const std::filesystem::path& file);
  const TensorView& array() const { return tensors_.front(); }

 private:
  std::shared_ptr<MappedFile> mapped_;
};

// Version 1.0, byte for byte as numpy.save writes it, under a temporary name first.
// logic_error: BF16, which has no numpy type; bytes that are not those of the shape.
void write_npy(const std::filesystem::path& file, const TensorView& array,
               Durability durability = Durability::kDisk);

}  // namespace ttsft
