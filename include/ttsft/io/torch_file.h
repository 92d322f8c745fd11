// Files of torch.save: a zip archive that holds a pickle and the raw storages of its tensors. Read
// without executing anything: only tensors, dicts, lists, tuples, numbers, strings and None are
// known, every other class or function is refused by its name. The older stream form (before torch
// 1.6, no zip) is read too.
// Format: torch/serialization.py; pickle: Python's pickletools.py.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ttsft/io/durability.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {

struct TorchValue {
  using List = std::vector<TorchValue>;
  struct Tuple {
    List items;
  };
  // In file order. Keys that are numbers are written out ("0").
  struct Entry;
  using Dict = std::vector<Entry>;

  std::variant<std::monostate, bool, int64_t, double, std::string, TensorView, List, Tuple, Dict>
      data;

  bool is_none() const { return std::holds_alternative<std::monostate>(data); }
  const TensorView* tensor() const { return std::get_if<TensorView>(&data); }
  const Dict* dict() const { return std::get_if<Dict>(&data); }
  const TorchValue* find(std::string_view key) const;  // of a dict; nullptr when absent or no dict
};

struct TorchValue::Entry {
  std::string first;
  TorchValue second;
};

// root() is what torch.load would return. As a TensorFile it lists every tensor under its dotted
// path ("model.gpt.ln_f.weight" of {"model": {"gpt.ln_f.weight": ...}}; list items by number).
// DataError: not such a file, truncated, a class that is not known, a tensor outside its storage.
class TorchFile : public TensorFile {
 public:
  static std::shared_ptr<const TorchFile> open(const std::filesystem::path& file);
  const TorchValue& root() const { return root_; }

 private:
  TorchValue root_;
  std::vector<std::shared_ptr<const void>> owners_;  // the mapped file, and copies that had to be
};

// As torch.save writes it (zip, protocol 2, storages at 64-byte boundaries): torch.load reads it
// with weights_only=True. Atomic. The tensors' bytes must be contiguous. With `fill`, one after the
// other the tensors that have values but no bytes are asked for: data too large to hold. Those of
// one name are one storage, asked for once.
void write_torch_file(const std::filesystem::path& file, const TorchValue& root,
                      const TensorFill& fill = nullptr, Durability durability = Durability::kDisk);

// A .safetensors file, or a torch.save file whatever its ending.
std::shared_ptr<const TensorFile> open_tensor_file(const std::filesystem::path& file);

}  // namespace ttsft
