// From the objects of a pickle to values: tensors are found in their storages, what is shared is
// written out, circles are refused.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "torch_content.h"
#include "ttsft/io/torch_file.h"

namespace ttsft {

class TorchBuilder {
 public:
  // file_bytes: how large the file is; more than that and a little is not copied from it. The
  // arguments must outlive the builder.
  TorchBuilder(const TorchStorages& storages, size_t file_bytes, const std::string& where);

  // DataError: a tensor outside its storage, a circle, too deep, too large.
  TorchValue build(const PickleObject& root) { return value(root, "", 0); }

  std::vector<TensorView> tensors;                  // with their dotted paths, in file order
  std::vector<std::shared_ptr<const void>> copies;  // of tensors that are not contiguous

 private:
  TorchValue value(const PickleObject& object, const std::string& path, int depth);
  TorchValue::List list(const std::vector<const PickleObject*>& items, const std::string& path,
                        int depth);
  TorchValue::Dict dict(const PickleObject::Dict& dict, const std::string& path, int depth);
  std::string key_text(const PickleObject& key, const std::string& path) const;
  TensorView view(const TorchTensor& tensor, const std::string& path);
  std::span<const std::byte> copy(const TorchTensor& tensor, std::span<const std::byte> values,
                                  int64_t bytes, const std::string& path);
  void spend(size_t size);
  [[noreturn]] void fail(const std::string& path, const std::string& reason) const;

  const TorchStorages& storages_;
  const std::string& where_;
  int64_t values_left_;
  int64_t copies_left_;  // bytes
};

}  // namespace ttsft
