#include "trained_weights.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft {

void TrainedWeights::add(const std::string& name, torch::Tensor parameter) {
  const bool known = std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.parameter.is_same(parameter);
  });
  if (known) return;
  torch::NoGradGuard no_grad;
  // On the CPU the parameter may look into the mapped checkpoint, which nobody may write.
  if (parameter.is_cpu()) parameter.set_data(parameter.detach().clone());
  const bool wide = parameter.scalar_type() == torch::kFloat32;
  torch::Tensor master = wide ? parameter : parameter.detach().to(torch::kFloat32);
  parameter.requires_grad_(true);
  entries_.push_back({name, std::move(parameter), std::move(master), {}, false});
}

void TrainedWeights::begin_step() {
  for (Entry& entry : entries_) {
    entry.parameter.mutable_grad() = torch::Tensor();
    entry.has_gradient = false;
  }
}

void TrainedWeights::collect() {
  torch::NoGradGuard no_grad;
  for (Entry& entry : entries_) {
    torch::Tensor& gradient = entry.parameter.mutable_grad();
    if (!gradient.defined() || entry.own_master()) continue;
    // The buffer of the sums is kept between steps; its old content only counts within a step.
    if (!entry.sum.defined()) entry.sum = torch::empty_like(entry.master);
    entry.has_gradient ? entry.sum.add_(gradient) : entry.sum.copy_(gradient);
    entry.has_gradient = true;
    gradient = torch::Tensor();
  }
}

std::vector<torch::Tensor> TrainedWeights::gradients() const {
  std::vector<torch::Tensor> all;
  for (const Entry& entry : entries_) {
    if (entry.own_master()) {
      all.push_back(entry.parameter.grad());
    } else {
      all.push_back(entry.has_gradient ? entry.sum : torch::Tensor());
    }
  }
  return all;
}

void TrainedWeights::publish() {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> to, from;
  for (const Entry& entry : entries_) {
    if (entry.own_master()) continue;
    to.push_back(entry.parameter);
    from.push_back(entry.master);
  }
  if (!to.empty()) at::_foreach_copy_(to, from);
}

NamedTensors TrainedWeights::masters() const {
  NamedTensors named;
  for (const Entry& entry : entries_) named.emplace_back(entry.name, entry.master.detach());
  return named;
}

void TrainedWeights::load_masters(const SafetensorsReader& file) {
  torch::NoGradGuard no_grad;
  for (Entry& entry : entries_) {
    const TensorView& view = file.at(entry.name);
    if (view.shape != entry.master.sizes().vec()) {
      throw DataError(entry.name + " has shape " + shape_text(view.shape) + ", wanted " +
                          shape_text(entry.master.sizes().vec()),
                      file.path().string());
    }
    entry.master.copy_(copy_tensor(view));
  }
  publish();
}

int64_t TrainedWeights::count() const {
  int64_t values = 0;
  for (const Entry& entry : entries_) values += entry.master.numel();
  return values;
}

int64_t TrainedWeights::training_bytes() const {
  int64_t bytes = 0;
  for (const Entry& entry : entries_) {
    constexpr int64_t kGradientAndMoments = 3 * sizeof(float);
    const int64_t master = entry.own_master() ? 0 : sizeof(float) + entry.parameter.element_size();
    bytes += entry.master.numel() * (kGradientAndMoments + master);
  }
  return bytes;
}

}  // namespace ttsft
