// The safetensors format: 8 bytes header length, a JSON header, the data. Read by mapping, written
// atomically. Format: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ttsft/io/durability.h"
#include "ttsft/io/tensor_file.h"

namespace ttsft {

class MappedFile;

// One or several mapped files seen as one list of tensors. Every malformed header is a DataError
// that names the file.
class SafetensorsReader : public TensorFile {
 public:
  // A .safetensors file, a model.safetensors.index.json, or a folder that holds model.safetensors
  // or its index.
  static SafetensorsReader open(const std::filesystem::path& path);

 private:
  void add_file(const std::filesystem::path& file);

  std::vector<std::shared_ptr<MappedFile>> files_;
};

// Writes under a temporary name and renames. Tensors keep the order given; names must be unique.
void write_safetensors(const std::filesystem::path& file, const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                       Durability durability = Durability::kDisk);

// The same for data too large to hold: `tensors` say name, dtype and shape, and one after the other
// `fill` is given each of them with zeroed memory for its values.
using TensorFill = std::function<void(const TensorView& tensor, std::span<std::byte> values)>;
void stream_safetensors(const std::filesystem::path& file, const std::vector<TensorView>& tensors,
                        const TensorFill& fill,
                        const std::map<std::string, std::string>& metadata = {{"format", "pt"}},
                        Durability durability = Durability::kDisk);

}  // namespace ttsft
