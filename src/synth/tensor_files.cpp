#include "tensor_files.h"

#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

bool is_integer(DType dtype) {
  switch (dtype) {
    case DType::kU8:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
      return true;
    default:
      return false;
  }
}

}  // namespace

torch::Tensor read_codes(const std::filesystem::path& file) {
  const SafetensorsReader reader = SafetensorsReader::open(file);
  const TensorView* view = reader.find("codes");
  if (!view) {
    std::vector<std::string> names;
    for (const TensorView& tensor : reader.tensors()) names.push_back(tensor.name);
    throw DataError("no tensor named codes", file.string(),
                    "it holds: " + (names.empty() ? "nothing" : join(names, ", ")));
  }
  const auto fail = [&](const std::string& what) {
    throw DataError("codes are " + what, file.string(),
                    "wanted: integers, [frames, codebooks] or [frames]");
  };
  if (!is_integer(view->dtype)) fail(std::string(dtype_name(view->dtype)));
  if (view->shape.empty() || view->shape.size() > 2) fail(shape_text(view->shape));
  if (shape_size(view->shape) == 0) fail("empty, " + shape_text(view->shape));
  return copy_tensor(*view).to(torch::kInt64);
}

void write_codes(const std::filesystem::path& file, const torch::Tensor& codes) {
  save_tensors(file, {{"codes", codes.to(torch::kInt64)}});
}

Noise read_noise(const std::filesystem::path& file) {
  const SafetensorsReader reader = SafetensorsReader::open(file);
  Noise noise;
  for (const TensorView& view : reader.tensors()) {
    if (view.dtype != DType::kF32) {
      throw DataError("tensor " + view.name + " is " + std::string(dtype_name(view.dtype)),
                      file.string(), "noise is float32");
    }
    const torch::Tensor values = copy_tensor(view);
    if (!torch::isfinite(values).all().item<bool>()) {
      throw DataError("tensor " + view.name + " holds values that are not finite", file.string());
    }
    noise.emplace(view.name, values);
  }
  if (noise.empty()) throw DataError("no tensor in the file", file.string());
  return noise;
}

}  // namespace ttsft
