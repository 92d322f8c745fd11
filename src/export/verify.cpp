#include "verify.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ttsft/io/torch_file.h"
#include "ttsft/model/language_stage.h"
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
  if (auto* language = dynamic_cast<LanguageStage*>(loaded.stage.get()))
    return language->train_probe(*sample).logits.to(torch::kCPU, torch::kFloat32).clone();
  const Sample* row = sample.get();
  std::vector<torch::Tensor> values;
  const auto batch = loaded.stage->make_batch(std::span(&row, 1), Draw{});
  for (const LossTerm& term : loaded.stage->loss(*batch, {}))
    values.push_back(term.value.to(torch::kCPU, torch::kFloat32).flatten());
  return torch::cat(values);
}

Proof::Proof(const ModelContext& context, const ModelAdapter& adapter,
             const CheckpointSet& checkpoints, double lora_scale)
    : context_(context), adapter_(adapter) {
  const std::vector<std::string>& encoders = adapter.info().prep_stages;
  for (const std::string& stage : adapter.info().stages) {
    // What encodes recordings may not be there at all; where the set does not name it, the export
    // links it.
    const bool encodes = std::find(encoders.begin(), encoders.end(), stage) != encoders.end();
    if (encodes && !checkpoints.stages.contains(stage)) continue;
    references_[stage] = logits(stage, checkpoints.of(stage), lora_scale);
  }
}

torch::Tensor Proof::logits(const std::string& stage, const CheckpointRef& checkpoint,
                            double lora_scale) const {
  RunConfig config = context_.config;
  config.train.stage = stage;
  return probe_logits({config, context_.device, context_.dtype}, adapter_, checkpoint, lora_scale);
}

double Proof::difference(const fs::path& exported) const {
  const CheckpointRef checkpoint{"export", exported, CheckpointKind::kFull, -1};
  double largest = 0;
  for (const auto& [stage, reference] : references_) {
    largest = std::max(largest, relative_difference(logits(stage, checkpoint, 1.0), reference));
  }
  return largest;
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
