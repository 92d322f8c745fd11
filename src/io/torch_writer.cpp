#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "pickle_writer.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/torch_file.h"
#include "zip.h"

namespace ttsft {
namespace {

// In the order of DType.
constexpr std::array kStorageNames = {
    "BoolStorage", "ByteStorage", "CharStorage",     "ShortStorage", "IntStorage",
    "LongStorage", "HalfStorage", "BFloat16Storage", "FloatStorage", "DoubleStorage"};

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class Pickler {
 public:
  Pickler(const std::filesystem::path& file, bool may_lack_bytes)
      : file_(file), may_lack_bytes_(may_lack_bytes) {}

  void write(const TorchValue& value) { std::visit(*this, value.data); }
  std::string finish() { return pickle_.finish(); }
  const std::vector<TensorView>& storages() const { return storages_; }

  void operator()(std::monostate) { pickle_.none(); }
  void operator()(bool value) { pickle_.boolean(value); }
  void operator()(int64_t value) { pickle_.integer(value); }
  void operator()(double value) { pickle_.real(value); }
  void operator()(const std::string& value) { pickle_.text(checked(value)); }
  void operator()(const TorchValue::List& items) {
    pickle_.begin_list();
    for (const TorchValue& item : items) write(item);
    pickle_.end_list();
  }
  void operator()(const TorchValue::Tuple& tuple) {
    pickle_.begin_tuple();
    for (const TorchValue& item : tuple.items) write(item);
    pickle_.end_tuple();
  }
  void operator()(const TorchValue::Dict& dict) {
    pickle_.begin_dict();
    for (const auto& [key, item] : dict) {
      pickle_.text(checked(key));
      write(item);
    }
    pickle_.end_dict();
  }
  void operator()(const TensorView& tensor);

 private:
  const std::string& checked(const std::string& text) const {
    try {
      nlohmann::json(text).dump();  // refuses what is not UTF-8
    } catch (const nlohmann::json::exception&) {
      throw RunError("text that is not UTF-8 cannot be pickled", file_.string());
    }
    return text;
  }
  std::string storage_of(const TensorView& tensor);
  void counts(const Shape& values) {
    pickle_.begin_tuple();
    for (const int64_t value : values) pickle_.integer(value);
    pickle_.end_tuple();
  }

  const std::filesystem::path& file_;
  bool may_lack_bytes_;  // tensors whose values come when their storage is written
  PickleWriter pickle_;
  std::vector<TensorView> storages_;  // the first tensor that looks into each
  std::map<std::tuple<const std::byte*, size_t, DType>, std::string> keys_;
  std::map<std::string, std::string> awaited_;  // by the tensor's name
};

// Tensors of the same memory share a storage, as tied weights do in PyTorch.
std::string Pickler::storage_of(const TensorView& tensor) {
  const std::string fresh = std::to_string(storages_.size());
  const std::tuple place(tensor.bytes.data(), tensor.bytes.size(), tensor.dtype);
  if (!tensor.bytes.empty()) {
    const auto [known, is_new] = keys_.emplace(place, fresh);
    if (!is_new) return known->second;
  } else if (may_lack_bytes_ && !tensor.name.empty()) {
    const auto [known, is_new] = awaited_.emplace(tensor.name, fresh);
    if (!is_new) return known->second;
  }
  storages_.push_back(tensor);
  return fresh;
}

void Pickler::operator()(const TensorView& tensor) {
  const int64_t values = shape_size(tensor.shape);
  const bool awaited = may_lack_bytes_ && tensor.bytes.empty();
  if (!awaited && std::cmp_not_equal(values * dtype_size(tensor.dtype), tensor.bytes.size())) {
    throw RunError("tensor '" + tensor.name + "' of shape " + shape_text(tensor.shape) + " has " +
                       std::to_string(tensor.bytes.size()) + " bytes",
                   file_.string());
  }
  Shape strides(tensor.shape.size());
  int64_t stride = 1;
  for (size_t i = strides.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(tensor.shape[i], 1);
  }
  pickle_.global("torch._utils", "_rebuild_tensor_v2");
  pickle_.begin_tuple();
  pickle_.begin_tuple();
  pickle_.shared_text("storage");
  pickle_.global("torch", kStorageNames.at(static_cast<size_t>(tensor.dtype)));
  pickle_.text(storage_of(tensor));
  pickle_.shared_text("cpu");
  pickle_.integer(values);
  pickle_.end_tuple();
  pickle_.persistent_id();
  pickle_.integer(0);  // offset
  counts(tensor.shape);
  counts(strides);
  pickle_.boolean(false);  // requires_grad
  pickle_.global("collections", "OrderedDict");
  pickle_.begin_tuple();
  pickle_.end_tuple();
  pickle_.call();  // no backward hooks
  pickle_.end_tuple();
  pickle_.call();
}

// torch.save calls the folder in the archive like the file.
std::string folder_name(const std::filesystem::path& file) {
  const std::string stem = file.stem().string();
  return stem.empty() ? "archive" : stem;
}

}  // namespace

void write_torch_file(const std::filesystem::path& file, const TorchValue& root,
                      const TensorFill& fill, Durability durability) {
  Pickler pickler(file, static_cast<bool>(fill));
  pickler.write(root);
  const std::string pickle = pickler.finish();
  const std::string folder = folder_name(file) + "/";

  AtomicFile out(file, durability);
  ZipWriter zip(out.stream());
  zip.add(folder + "data.pkl", bytes_of(pickle));
  zip.add(folder + ".format_version", bytes_of("1"));
  zip.add(folder + ".storage_alignment", bytes_of(std::to_string(ZipWriter::kAlignment)));
  zip.add(folder + "byteorder", bytes_of("little"));
  const auto& storages = pickler.storages();
  std::vector<std::byte> values;
  for (size_t i = 0; i < storages.size(); ++i) {
    const TensorView& tensor = storages[i];
    std::span<const std::byte> bytes = tensor.bytes;
    if (fill && bytes.empty() && shape_size(tensor.shape) > 0) {
      values.assign(static_cast<size_t>(shape_size(tensor.shape) * dtype_size(tensor.dtype)),
                    std::byte{0});
      fill(tensor, values);
      bytes = values;
    }
    zip.add(folder + "data/" + std::to_string(i), bytes);
    if (!out.stream()) break;  // commit() says why
  }
  zip.add(folder + "version", bytes_of("3\n"));
  zip.finish();
  out.commit();
}

}  // namespace ttsft
