#include "verify.h"

#include <cmath>
#include <limits>

#include "ttsft/io/torch_file.h"
#include "ttsft/model/load_stage.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kProbeSeed = 20;
constexpr double kFloatTolerance = 2e-4;
constexpr double kHalfTolerance = 5e-2;

bool holds_half(const fs::path& file) {
  const auto reader = open_tensor_file(file);
  for (const TensorView& view : reader->tensors()) {
    if (view.dtype == DType::kF16 || view.dtype == DType::kBF16) return true;
  }
  return false;
}

}  // namespace

torch::Tensor probe_logits(const ModelContext& context, const ModelAdapter& adapter,
                           const CheckpointRef& checkpoint, double lora_scale) {
  torch::InferenceMode guard;
  const LoadedStage loaded = load_stage(context, adapter, checkpoint, lora_scale);
  const std::unique_ptr<Sample> sample = loaded.stage->random_sample(kProbeSeed);
  return loaded.stage->train_probe(*sample).logits.to(torch::kCPU, torch::kFloat32).clone();
}

double relative_difference(const torch::Tensor& logits, const torch::Tensor& reference) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (logits.sizes() != reference.sizes()) return kInfinity;
  const torch::Tensor a = logits.to(torch::kFloat64), b = reference.to(torch::kFloat64);
  const double difference = (a - b).square().mean().sqrt().item<double>();
  const double spread = (b - b.mean()).square().mean().sqrt().item<double>();
  if (!std::isfinite(difference) || !std::isfinite(spread)) return kInfinity;
  if (difference == 0) return 0;
  return spread > 0 ? difference / spread : kInfinity;
}

double export_tolerance(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string ending = entry.path().extension().string();
    if ((ending == ".safetensors" || ending == ".pth") && holds_half(entry.path())) {
      return kHalfTolerance;
    }
  }
  return kFloatTolerance;
}

}  // namespace ttsft
