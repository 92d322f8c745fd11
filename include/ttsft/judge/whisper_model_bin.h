// CTranslate2's model.bin as a list of tensors, without LibTorch.
// Little-endian: a version (4 to 6), the specification's name and revision; the
// number of variables and for each of them name, number of dimensions,
// dimensions, type, bytes, data; the number of aliases and for each of them its
// name and the variable it stands for. Numbers are uint32, but uint8 for types
// and numbers of dimensions and uint16 for lengths of strings, which end with a
// zero that is counted. Source: CTranslate2 4.8.5 (MIT),
// python/ctranslate2/specs/model_spec.py (_serialize, _quantize),
// src/models/model.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ttsft/io/tensor_file.h"

namespace ttsft {

class MappedFile;

// DataError: not such a file, cut short, a type that is unknown, data that is
// not what its shape says.
class ModelBin : public TensorFile {
public:
  static std::shared_ptr<const ModelBin>
  open(const std::filesystem::path &file);

  const std::string &specification() const {
    return specification_;
  } // "WhisperSpec"
  // A whole number without dimensions ("encoder/num_heads").
  std::optional<int64_t> integer(const std::string &name) const;

private:
  std::shared_ptr<MappedFile> file_;
  std::string specification_;
};

// The same weights under Hugging Face's names: fused projections are cut into
// theirs, and numbers of 8 or 16 bits are divided by their scales, into
// float32. A name that is not known comes through as it is. DataError: a fused
// projection whose parts are not equal, a bias of keys, which Whisper does not
// have.
std::shared_ptr<const TensorFile>
hugging_face_tensors(const std::shared_ptr<const ModelBin> &model);

} // namespace ttsft
