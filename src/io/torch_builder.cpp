#include "torch_builder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "printable.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr int kMaxDepth = 100;
// Objects may share parts, so that a small pickle can stand for a huge value.
constexpr int64_t kMaxValues = 2'000'000;
constexpr size_t kTextPerValue = 64;
constexpr int64_t kSpareCopies = int64_t{64} << 20;

std::string child(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

// Python keeps text in UTF-8; anything else could not be shown or written again.
bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();  // says no to the rest
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

bool is_contiguous(const TorchTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] == 1) continue;
    if (tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];  // a tensor in its storage: cannot overflow
  }
  return true;
}

// The index of the tensor's last value in its storage; nullopt where it overflows.
std::optional<int64_t> last_index(const TorchTensor& tensor) {
  int64_t index = tensor.offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    int64_t step = 0;
    if (__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &step) ||
        __builtin_add_overflow(index, step, &index)) {
      return std::nullopt;
    }
  }
  return index;
}

// Values of `item` bytes from where the strides say, one behind the other.
void gather(const std::byte* from, const Shape& shape, const Shape& strides, size_t item,
            std::byte* to) {
  const size_t inner = shape.size() - 1;
  Shape index(shape.size(), 0);
  int64_t outer = 0;  // offset of the row
  for (;;) {
    for (int64_t i = 0; i < shape[inner]; ++i, to += item) {
      std::memcpy(to, from + static_cast<size_t>(outer + i * strides[inner]) * item, item);
    }
    size_t d = inner;
    for (;;) {  // like an odometer
      if (d-- == 0) return;
      outer += strides[d];
      if (++index[d] < shape[d]) break;
      outer -= shape[d] * strides[d];
      index[d] = 0;
    }
  }
}

}  // namespace

TorchBuilder::TorchBuilder(const TorchStorages& storages, size_t file_bytes,
                           const std::string& where)
    : storages_(storages),
      where_(where),
      values_left_(kMaxValues),
      copies_left_(static_cast<int64_t>(file_bytes) + kSpareCopies) {}

void TorchBuilder::fail(const std::string& path, const std::string& reason) const {
  throw DataError((path.empty() ? "the file's value" : "'" + printable(path) + "'") + " " + reason,
                  where_);
}

void TorchBuilder::spend(size_t size) {
  values_left_ -= 1 + static_cast<int64_t>(size / kTextPerValue);
  if (values_left_ < 0) {
    throw DataError("the pickle stands for more than " + std::to_string(kMaxValues) + " values",
                    where_, "is this a file of weights?");
  }
}

TorchValue TorchBuilder::value(const PickleObject& object, const std::string& path, int depth) {
  if (depth > kMaxDepth) {
    fail(path, "is nested more than " + std::to_string(kMaxDepth) + " deep, or holds itself");
  }
  spend(path.size());
  if (const auto* b = object.get<bool>()) return {*b};
  if (const auto* i = object.get<int64_t>()) return {*i};
  if (const auto* d = object.get<double>()) return {*d};
  if (const auto* text = object.get<std::string>()) {
    spend(text->size());
    if (!is_utf8(*text)) fail(path, "is text that is not UTF-8");
    return {*text};
  }
  if (const auto* items = object.get<PickleObject::List>()) {
    return {list(items->items, path, depth)};
  }
  if (const auto* items = object.get<PickleObject::Tuple>()) {
    return {TorchValue::Tuple{list(items->items, path, depth)}};
  }
  if (const auto* items = object.get<PickleObject::Dict>()) return {dict(*items, path, depth)};
  if (const auto* tensor = object.get<std::unique_ptr<TorchTensor>>()) {
    tensors.push_back(view(**tensor, path));
    return {tensors.back()};
  }
  if (const auto* global = object.get<PickleObject::Global>()) {
    fail(path, "is " + global->name + " itself, not a value");
  }
  if (object.get<PickleObject::LongInteger>()) fail(path, "is a number of more than 64 bits");
  if (!object.get<PickleObject::None>()) fail(path, "is a storage without a tensor");
  return {};
}

TorchValue::List TorchBuilder::list(const std::vector<const PickleObject*>& items,
                                    const std::string& path, int depth) {
  TorchValue::List values;
  for (size_t i = 0; i < items.size(); ++i) {
    values.push_back(value(*items[i], child(path, std::to_string(i)), depth + 1));
  }
  return values;
}

TorchValue::Dict TorchBuilder::dict(const PickleObject::Dict& dict, const std::string& path,
                                    int depth) {
  TorchValue::Dict values;
  std::set<std::string> keys;
  for (const auto& [key, item] : dict.items) {
    std::string name = key_text(*key, path);
    if (!keys.insert(name).second) fail(path, "has the key '" + printable(name) + "' twice");
    TorchValue entry = value(*item, child(path, name), depth + 1);
    values.push_back({std::move(name), std::move(entry)});
  }
  return values;
}

std::string TorchBuilder::key_text(const PickleObject& key, const std::string& path) const {
  if (const auto* text = key.get<std::string>()) {
    if (!is_utf8(*text)) fail(path, "has a key that is not UTF-8");
    return *text;
  }
  std::array<char, 32> digits{};
  const auto write = [&](auto number) {
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    return std::string(digits.data(), end.ptr);
  };
  if (const auto* i = key.get<int64_t>()) return write(*i);
  if (const auto* d = key.get<double>()) return write(*d);
  fail(path, "has a key that is neither text nor a number");
}

TensorView TorchBuilder::view(const TorchTensor& tensor, const std::string& path) {
  const TorchStorage& storage = tensor.storage;
  TensorView result{path, storage.dtype, tensor.shape, {}};
  const auto found = storages_.find(storage.key);
  if (found == storages_.end())
    fail(path, "lies in storage " + printable(storage.key) + ", which is missing");
  const int64_t item = dtype_size(storage.dtype);
  const int64_t available = static_cast<int64_t>(found->second.size()) / item;
  if (storage.first > available || storage.size > available - storage.first) {
    fail(path, "lies in storage " + printable(storage.key) + ", which should have " +
                   std::to_string(storage.size) + " values and has " + std::to_string(available));
  }
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) return result;

  const std::optional<int64_t> last = last_index(tensor);
  if (!last || *last >= storage.size) {
    fail(path, "of shape " + shape_text(tensor.shape) + " leaves its storage of " +
                   std::to_string(storage.size) + " values");
  }
  int64_t bytes = item;
  for (const int64_t dimension : tensor.shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) {
      fail(path, "has the shape " + shape_text(tensor.shape) + ", which is too large");
    }
  }
  const auto values =
      found->second.subspan(static_cast<size_t>((storage.first + tensor.offset) * item));
  result.bytes = is_contiguous(tensor) ? values.first(static_cast<size_t>(bytes))
                                       : copy(tensor, values, bytes, path);
  return result;
}

std::span<const std::byte> TorchBuilder::copy(const TorchTensor& tensor,
                                              std::span<const std::byte> values, int64_t bytes,
                                              const std::string& path) {
  copies_left_ -= std::min(bytes, copies_left_ + 1);
  if (copies_left_ < 0) {
    fail(path, "repeats its values: shape " + shape_text(tensor.shape) +
                   " is much larger than the "
                   "file");
  }
  auto copied = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes));
  gather(values.data(), tensor.shape, tensor.strides,
         static_cast<size_t>(dtype_size(tensor.storage.dtype)), copied->data());
  copies.push_back(copied);
  return *copied;
}

}  // namespace ttsft
