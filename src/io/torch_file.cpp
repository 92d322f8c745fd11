#include "ttsft/io/torch_file.h"

#include <algorithm>

#include "torch_builder.h"
#include "torch_content.h"
#include "ttsft/core/error.h"
#include "ttsft/io/mapped_file.h"
#include "ttsft/io/safetensors.h"
#include "zip.h"

namespace ttsft {

const TorchValue* TorchValue::find(std::string_view key) const {
  const Dict* entries = dict();
  if (!entries) return nullptr;
  const auto found = std::find_if(entries->begin(), entries->end(),
                                  [key](const auto& entry) { return entry.first == key; });
  return found != entries->end() ? &found->second : nullptr;
}

std::shared_ptr<const TorchFile> TorchFile::open(const std::filesystem::path& file) {
  auto mapped = std::make_shared<MappedFile>(file);
  const auto bytes = mapped->bytes();
  const std::string where = file.string();
  TorchContent content;
  if (is_zip(bytes)) {
    content = read_torch_zip(bytes, where);
  } else if (is_torch_stream(bytes)) {
    content = read_torch_stream(bytes, where);
  } else {
    throw DataError("not a file of torch.save", where, "download or write it again");
  }
  auto result = std::make_shared<TorchFile>();
  TorchBuilder builder(content.storages, bytes.size(), where);
  result->root_ = builder.build(*content.root);
  result->path_ = file;
  result->tensors_ = std::move(builder.tensors);
  result->owners_ = std::move(builder.copies);
  result->owners_.push_back(std::move(mapped));
  result->sort();
  return result;
}

std::shared_ptr<const TensorFile> open_tensor_file(const std::filesystem::path& file) {
  if (file.extension() == ".safetensors") {
    return std::make_shared<SafetensorsReader>(SafetensorsReader::open(file));
  }
  return TorchFile::open(file);
}

}  // namespace ttsft
