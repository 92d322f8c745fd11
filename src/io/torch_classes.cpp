#include "torch_classes.h"

#include <algorithm>
#include <array>

#include "printable.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using Tuple = PickleObject::Tuple;

constexpr const char* kOrderedDict = "collections.OrderedDict";
constexpr const char* kSize = "torch.Size";
constexpr const char* kTensor = "torch._utils._rebuild_tensor_v2";
constexpr const char* kParameter = "torch._utils._rebuild_parameter";

struct StorageClass {
  std::string_view name;
  DType dtype;
};

constexpr std::array<StorageClass, 10> kStorages = {{{"torch.BoolStorage", DType::kBool},
                                                     {"torch.ByteStorage", DType::kU8},
                                                     {"torch.CharStorage", DType::kI8},
                                                     {"torch.ShortStorage", DType::kI16},
                                                     {"torch.IntStorage", DType::kI32},
                                                     {"torch.LongStorage", DType::kI64},
                                                     {"torch.HalfStorage", DType::kF16},
                                                     {"torch.BFloat16Storage", DType::kBF16},
                                                     {"torch.FloatStorage", DType::kF32},
                                                     {"torch.DoubleStorage", DType::kF64}}};

const StorageClass* find_storage(const std::string& name) {
  const auto* const found = std::find_if(kStorages.begin(), kStorages.end(),
                                         [&](const StorageClass& s) { return s.name == name; });
  return found != kStorages.end() ? found : nullptr;
}

// The arguments of one call or the parts of one persistent id, with a name for errors.
class Items {
 public:
  Items(const Tuple& tuple, std::string what, const std::string& where)
      : tuple_(tuple), what_(std::move(what)), where_(where) {}

  size_t size() const { return tuple_.items.size(); }
  const PickleObject& at(size_t i) const {
    if (i >= size()) fail();
    return *tuple_.items[i];
  }
  template <typename T>
  const T& get(size_t i) const {
    const T* value = at(i).get<T>();
    if (!value) fail();
    return *value;
  }
  int64_t count(size_t i) const {
    const int64_t value = get<int64_t>(i);
    if (value < 0) fail();
    return value;
  }
  Shape counts(size_t i) const {
    const Items inner(get<Tuple>(i), what_, where_);
    Shape values;
    for (size_t k = 0; k < inner.size(); ++k) values.push_back(inner.count(k));
    return values;
  }
  [[noreturn]] void fail() const {
    throw DataError("malformed pickle: " + what_ + " is not as torch.save writes it", where_,
                    "write the file again with a current PyTorch");
  }

 private:
  const Tuple& tuple_;
  std::string what_;
  const std::string& where_;
};

// (storage, offset, shape, strides, requires_grad, backward hooks[, metadata])
PickleObject make_tensor(const Items& items) {
  if (items.size() != 6 && items.size() != 7) items.fail();
  TorchTensor tensor;
  tensor.storage = *items.get<std::unique_ptr<TorchStorage>>(0);
  tensor.offset = items.count(1);
  tensor.shape = items.counts(2);
  tensor.strides = items.counts(3);
  if (tensor.shape.size() != tensor.strides.size()) items.fail();
  // Metadata says that the values are to be negated or conjugated.
  if (items.size() == 7 && !items.get<PickleObject::Dict>(6).items.empty()) items.fail();
  return {std::make_unique<TorchTensor>(std::move(tensor))};
}

}  // namespace

void require_torch_class(const std::string& name, const std::string& where) {
  const std::array known = {kOrderedDict, kSize, kTensor, kParameter};
  if (std::find(known.begin(), known.end(), name) != known.end() || find_storage(name)) return;
  throw DataError("the pickle asks for " + printable(name) +
                      ", which is not known; only tensors, dicts, lists, numbers and text are "
                      "read, and nothing is executed",
                  where, "save it again with those alone, from a source that you trust");
}

PickleObject make_torch_object(const std::string& name, const Tuple& arguments,
                               const std::string& where) {
  const Items items(arguments, name, where);
  if (name == kTensor) return make_tensor(items);
  if (name == kParameter) {  // (tensor, requires_grad, backward hooks)
    const TorchTensor& tensor = *items.get<std::unique_ptr<TorchTensor>>(0);
    return {std::make_unique<TorchTensor>(tensor)};
  }
  if (name == kOrderedDict && items.size() == 0) return {PickleObject::Dict{}};
  if (name == kSize && items.size() == 1) return {Tuple{items.get<Tuple>(0).items}};
  items.fail();
}

TorchStorage torch_storage(const PickleObject& id, const std::string& where) {
  const Tuple empty;
  const auto* tuple = id.get<Tuple>();
  const Items items(tuple ? *tuple : empty, "a storage", where);
  if (items.get<std::string>(0) != "storage") items.fail();
  const StorageClass* type = find_storage(items.get<PickleObject::Global>(1).name);
  if (!type || items.size() > 6) items.fail();
  TorchStorage storage{type->dtype, items.get<std::string>(2), 0, items.count(4)};
  if (items.size() == 6 && !items.at(5).get<PickleObject::None>()) {
    const Items view(items.get<Tuple>(5), "a view of a storage", where);
    storage.first = view.count(1);
    storage.size = view.count(2);
  }
  return storage;
}

}  // namespace ttsft
