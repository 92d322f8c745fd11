#include "ttsft/model/write_weights.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "ttsft/io/safetensors.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

bool is_half(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16;
}

void count_rounding(const torch::Tensor& base, const torch::Tensor& wanted,
                    const torch::Tensor& stored, Rounding& rounding) {
  const torch::Tensor changed = wanted.to(torch::kFloat32) != base.to(torch::kFloat32);
  rounding.changed += changed.sum().item<int64_t>();
  rounding.vanished += changed.logical_and(stored == base).sum().item<int64_t>();
}

// The values of one tensor as the new file stores them, on the CPU.
torch::Tensor stored_value(const WrittenTensor& tensor, const WeightChanges& changes,
                           Rounding* rounding) {
  const torch::Dtype dtype = to_torch(tensor.dtype);
  const auto change = changes.find(tensor.base.name);
  if (change == changes.end()) return copy_tensor(tensor.base).to(dtype);
  const torch::Tensor wanted = change->second().detach().to(torch::kCPU);
  if (wanted.sizes().vec() != tensor.new_shape())
    throw std::logic_error("write_weights: shape of " + tensor.base.name);
  const torch::Tensor stored = wanted.to(dtype).contiguous();
  const bool comparable = tensor.new_shape() == tensor.base.shape;
  if (rounding && comparable && is_half(tensor.dtype) && tensor.base.dtype == tensor.dtype)
    count_rounding(copy_tensor(tensor.base), wanted, stored, *rounding);
  return stored;
}

}  // namespace

std::vector<WrittenTensor> as_they_are(const std::vector<TensorView>& tensors) {
  std::vector<WrittenTensor> written;
  for (const TensorView& tensor : tensors) written.push_back({tensor, tensor.name, tensor.dtype});
  return written;
}

torch::Dtype stored_dtype(const TensorFile& file) {
  std::map<DType, int64_t> values;
  for (const TensorView& view : file.tensors()) {
    if (c10::isFloatingType(to_torch(view.dtype))) values[view.dtype] += shape_size(view.shape);
  }
  const auto most =
      std::max_element(values.begin(), values.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == values.end() ? torch::kFloat32 : to_torch(most->first);
}

void write_weights(const std::filesystem::path& file, const std::vector<WrittenTensor>& tensors,
                   const WeightChanges& changes, Rounding* rounding) {
  std::map<std::string, const WrittenTensor*> by_name;
  std::vector<TensorView> views;
  for (const WrittenTensor& tensor : tensors) {
    by_name[tensor.name] = &tensor;
    const bool kept = tensor.dtype == tensor.base.dtype && !changes.contains(tensor.base.name);
    views.push_back({tensor.name, tensor.dtype, tensor.new_shape(), {}});
    if (kept) views.back().bytes = tensor.base.bytes;
  }
  const TensorFill fill = [&](const TensorView& view, std::span<std::byte> values) {
    if (!view.bytes.empty()) {
      std::memcpy(values.data(), view.bytes.data(), values.size());
      return;
    }
    if (values.empty()) return;
    const torch::Tensor value = stored_value(*by_name.at(view.name), changes, rounding);
    std::memcpy(values.data(), value.data_ptr(), values.size());
  };
  if (file.extension() == ".safetensors") {
    stream_safetensors(file, views, fill);
    return;
  }
  TorchValue::Dict dict;
  for (size_t i = 0; i < views.size(); ++i) {
    TensorView view = views[i];
    if (view.bytes.empty() && !tensors[i].tied_to.empty()) view.name = tensors[i].tied_to;
    dict.push_back({tensors[i].name, {view}});
  }
  write_torch_file(file, TorchValue{dict}, fill);
}

}  // namespace ttsft
