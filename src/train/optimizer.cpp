#include "ttsft/train/optimizer.h"

#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

constexpr const char* kExpAvg = ".exp_avg";
constexpr const char* kExpAvgSq = ".exp_avg_sq";
constexpr const char* kStep = ".step";

void restore(const SafetensorsReader& file, const std::string& name, torch::Tensor& into) {
  const TensorView& view = file.at(name);
  if (view.shape != into.sizes().vec() || view.dtype != DType::kF32) {
    throw DataError(name + " has shape " + shape_text(view.shape) + ", wanted " +
                        shape_text(into.sizes().vec()) + " in float32",
                    file.path().string(), "continue with the run file that wrote this checkpoint");
  }
  into.copy_(copy_tensor(view));
}

}  // namespace

AdamW::AdamW(NamedTensors parameters, AdamWOptions options) : options_(options) {
  for (auto& [name, tensor] : parameters) {
    if (tensor.scalar_type() != torch::kFloat32) throw std::logic_error("AdamW: " + name);
    slots_.push_back({std::move(name), std::move(tensor), {}, {}, {}});
  }
}

void AdamW::start(Slot& slot) {
  slot.exp_avg = torch::zeros_like(slot.parameter, slot.parameter.options().requires_grad(false));
  slot.exp_avg_sq = torch::zeros_like(slot.exp_avg);
  slot.step = torch::zeros({}, slot.exp_avg.options());
}

void AdamW::step(const std::vector<torch::Tensor>& gradients, double learning_rate) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parameters, grads, exp_avgs, exp_avg_sqs, steps;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!gradients.at(i).defined()) continue;
    Slot& slot = slots_[i];
    if (!slot.exp_avg.defined()) start(slot);
    parameters.push_back(slot.parameter);
    grads.push_back(gradients[i]);
    exp_avgs.push_back(slot.exp_avg);
    exp_avg_sqs.push_back(slot.exp_avg_sq);
    steps.push_back(slot.step);
  }
  if (parameters.empty()) return;
  at::_foreach_add_(steps, 1);
  at::_fused_adamw_(parameters, grads, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps,
                    learning_rate, options_.beta1, options_.beta2, options_.weight_decay,
                    options_.eps, /*amsgrad=*/false, /*maximize=*/false);
}

NamedTensors AdamW::state() const {
  NamedTensors named;
  for (const Slot& slot : slots_) {
    if (!slot.exp_avg.defined()) continue;
    named.emplace_back(slot.name + kExpAvg, slot.exp_avg);
    named.emplace_back(slot.name + kExpAvgSq, slot.exp_avg_sq);
    named.emplace_back(slot.name + kStep, slot.step);
  }
  return named;
}

void AdamW::load_state(const SafetensorsReader& file) {
  torch::NoGradGuard no_grad;
  size_t used = 0;
  for (Slot& slot : slots_) {
    if (!file.find(slot.name + kExpAvg)) continue;
    start(slot);
    restore(file, slot.name + kExpAvg, slot.exp_avg);
    restore(file, slot.name + kExpAvgSq, slot.exp_avg_sq);
    restore(file, slot.name + kStep, slot.step);
    used += 3;
  }
  if (used != file.tensors().size()) {
    throw DataError("the optimizer state holds parameters that this run does not train",
                    file.path().string(), "continue with the run file that wrote this checkpoint");
  }
}

torch::Tensor clip_gradients_(const std::vector<torch::Tensor>& gradients, double max_norm) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> defined;
  for (const torch::Tensor& gradient : gradients) {
    if (gradient.defined()) defined.push_back(gradient);
  }
  if (defined.empty()) return torch::zeros({});
  const torch::Tensor norm = torch::stack(at::_foreach_norm(defined)).norm();
  if (max_norm > 0) at::_foreach_mul_(defined, (max_norm / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

}  // namespace ttsft
