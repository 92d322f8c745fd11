#include "ttsft/nn/weights.h"

#include <cstring>
#include <set>

#include "ttsft/core/error.h"
#include "ttsft/nn/meta_device.h"

namespace ttsft {

torch::Dtype to_torch(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return torch::kBool;
    case DType::kU8:
      return torch::kUInt8;
    case DType::kI8:
      return torch::kInt8;
    case DType::kI16:
      return torch::kInt16;
    case DType::kI32:
      return torch::kInt32;
    case DType::kI64:
      return torch::kInt64;
    case DType::kF16:
      return torch::kFloat16;
    case DType::kBF16:
      return torch::kBFloat16;
    case DType::kF32:
      return torch::kFloat32;
    case DType::kF64:
      return torch::kFloat64;
  }
  throw std::logic_error("to_torch: unlisted dtype");
}

DType from_torch(torch::Dtype dtype) {
  switch (dtype) {
    case torch::kBool:
      return DType::kBool;
    case torch::kUInt8:
      return DType::kU8;
    case torch::kInt8:
      return DType::kI8;
    case torch::kInt16:
      return DType::kI16;
    case torch::kInt32:
      return DType::kI32;
    case torch::kInt64:
      return DType::kI64;
    case torch::kFloat16:
      return DType::kF16;
    case torch::kBFloat16:
      return DType::kBF16;
    case torch::kFloat32:
      return DType::kF32;
    case torch::kFloat64:
      return DType::kF64;
    default:
      throw std::logic_error(std::string("from_torch: no file type for ") + c10::toString(dtype));
  }
}

torch::Tensor borrow_tensor(const TensorView& view) {
  auto* data = const_cast<std::byte*>(view.bytes.data());
  return torch::from_blob(data, view.shape, torch::TensorOptions().dtype(to_torch(view.dtype)));
}

torch::Tensor copy_tensor(const TensorView& view) {
  // Through bytes: data in a file may stand at an address that its type is not aligned to.
  torch::Tensor copy = torch::empty(view.shape, torch::TensorOptions().dtype(to_torch(view.dtype)));
  std::memcpy(copy.data_ptr(), view.bytes.data(), view.bytes.size());
  return copy;
}

TensorView view_tensor(const std::string& name, const torch::Tensor& tensor) {
  if (!tensor.is_cpu() || !tensor.is_contiguous())
    throw std::logic_error("view_tensor: " + name + " is not plain memory");
  return {name,
          from_torch(tensor.scalar_type()),
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()}};
}

void save_tensors(const std::filesystem::path& file,
                  const std::vector<std::pair<std::string, torch::Tensor>>& tensors,
                  const std::map<std::string, std::string>& metadata, Durability durability) {
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : tensors)
    views.push_back({name, from_torch(tensor.scalar_type()), tensor.sizes().vec(), {}});
  size_t next = 0;
  const TensorFill fill = [&](const TensorView&, std::span<std::byte> values) {
    const torch::Tensor value = tensors[next++].second.detach().to(torch::kCPU).contiguous();
    if (!values.empty()) std::memcpy(values.data(), value.data_ptr(), values.size());
  };
  stream_safetensors(file, views, fill, metadata, durability);
}

namespace {

struct Slot {
  std::string name;
  torch::Tensor tensor;
};

std::vector<Slot> slots_of(torch::nn::Module& module) {
  std::vector<Slot> slots;
  for (const auto& item : module.named_parameters()) slots.push_back({item.key(), item.value()});
  for (const auto& item : module.named_buffers()) slots.push_back({item.key(), item.value()});
  return slots;
}

// Up to five names, then how many more.
std::string list_names(const char* label, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  std::string text = std::to_string(names.size()) + " " + label + " (";
  for (size_t i = 0; i < names.size() && i < 5; ++i) text += (i ? ", " : "") + names[i];
  return text + (names.size() > 5 ? ", ...)" : ")");
}

bool skipped(const std::string& name, const std::map<std::string, std::string>& skip) {
  for (const auto& [prefix, reason] : skip)
    if (name.starts_with(prefix)) return true;
  return false;
}

void check_names(const std::vector<Slot>& slots, const TensorFile& file,
                 const LoadOptions& options) {
  std::vector<std::string> missing, unexpected, misshapen;
  std::set<std::string> wanted;
  for (const Slot& slot : slots) {
    const std::string name = options.prefix + slot.name;
    wanted.insert(name);
    const TensorView* view = file.find(name);
    if (!view) {
      missing.push_back(name);
    } else if (view->shape != slot.tensor.sizes().vec()) {
      misshapen.push_back(name + " " + shape_text(view->shape) + " instead of " +
                          shape_text(slot.tensor.sizes().vec()));
    }
  }
  for (const TensorView& view : file.tensors()) {
    if (view.name.starts_with(options.prefix) && !wanted.count(view.name) &&
        !skipped(view.name, options.skip))
      unexpected.push_back(view.name);
  }
  if (missing.empty() && unexpected.empty() && misshapen.empty()) return;
  std::string what = "weights do not fit the configuration:";
  for (const std::string& part :
       {list_names("missing", missing), list_names("unexpected", unexpected),
        list_names("of another shape", misshapen)})
    if (!part.empty()) what += " " + part;
  throw DataError(what, file.path().string(),
                  "is this the complete checkpoint that config.json describes?");
}

}  // namespace

void load_strict(torch::nn::Module& module, const std::shared_ptr<const TensorFile>& file,
                 const LoadOptions& options) {
  const std::vector<Slot> slots = slots_of(module);
  check_names(slots, *file, options);
  torch::NoGradGuard no_grad;
  for (const Slot& slot : slots) {
    const TensorView& view = file->at(options.prefix + slot.name);
    const torch::Dtype target =
        slot.tensor.is_floating_point() ? options.dtype : slot.tensor.scalar_type();
    // To its own type: the format aligns the data of a file to 8 bytes, whatever stands in it.
    const auto address = reinterpret_cast<uintptr_t>(view.bytes.data());
    const bool aligned = address % static_cast<uintptr_t>(dtype_size(view.dtype)) == 0;
    torch::Tensor value;
    if (aligned) {
      // The deleter holds the reader, so the mapping lives as long as the tensor that looks into
      // it.
      auto* data = const_cast<std::byte*>(view.bytes.data());
      value = torch::from_blob(
          data, view.shape, [file](void*) {}, torch::TensorOptions().dtype(to_torch(view.dtype)));
    } else {
      value = copy_tensor(view);
    }
    set_data(slot.tensor, value.to(options.device, target));
  }
}

namespace {

struct NormNames {
  const char *g, *v;
};
constexpr NormNames kNormNames[] = {
    {".weight_g", ".weight_v"},
    {".parametrizations.weight.original0", ".parametrizations.weight.original1"}};

std::vector<std::byte> bytes_of(const torch::Tensor& tensor) {
  const auto* data = static_cast<const std::byte*>(tensor.data_ptr());
  return {data, data + tensor.nbytes()};
}

}  // namespace

std::shared_ptr<const TensorFile> fold_weight_norm(const std::shared_ptr<const TensorFile>& file,
                                                   const std::string& prefix) {
  torch::NoGradGuard no_grad;
  auto folded = std::make_shared<DerivedTensors>(file);
  for (TensorView view : file->tensors()) {
    if (!view.name.starts_with(prefix)) continue;
    bool half = false;
    for (const NormNames& names : kNormNames) {
      if (view.name.ends_with(names.v)) {
        half = true;
        file->at(view.name.substr(0, view.name.size() - std::strlen(names.v)) + names.g);
      }
      if (!view.name.ends_with(names.g)) continue;
      half = true;
      const std::string stem = view.name.substr(0, view.name.size() - std::strlen(names.g));
      const TensorView& direction = file->at(stem + names.v);
      const torch::Tensor v = copy_tensor(direction).to(torch::kFloat32);
      Shape per_row(direction.shape.size(), 1);
      per_row[0] = direction.shape.at(0);
      const torch::Tensor g = copy_tensor(view).to(torch::kFloat32).view(per_row);
      const torch::Tensor weight = at::_weight_norm(v, g, 0).contiguous();
      folded->add(stem.substr(prefix.size()) + ".weight", DType::kF32, direction.shape,
                  bytes_of(weight));
    }
    if (half) continue;
    view.name.erase(0, prefix.size());
    folded->keep(view);
  }
  folded->finish();
  return folded;
}

}  // namespace ttsft
