#include "ttsft/model/fixture_list.h"

#include <cmath>

namespace ttsft {

void FixtureList::weight(const std::string& name, Shape shape) {
  int64_t fan_in = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
  add(name, std::move(shape), Fill::kNormal, 1.0 / std::sqrt(static_cast<double>(fan_in)));
}

void FixtureList::conv(const std::string& name, Shape shape) {
  const int64_t out = shape[0];
  weight(name + ".weight", std::move(shape));
  add(name + ".bias", {out}, Fill::kSmall);
}

void FixtureList::norm(const std::string& name, int64_t size) {
  add(name + ".weight", {size}, Fill::kOne);
  add(name + ".bias", {size}, Fill::kSmall);
}

void FixtureList::batch_norm(const std::string& name, int64_t size, bool affine) {
  if (affine) norm(name, size);
  add(name + ".running_mean", {size}, Fill::kSmall);
  add(name + ".running_var", {size}, Fill::kOne);
  tensors.push_back({name + ".num_batches_tracked", DType::kI64, {}, Fill::kZero});
}

void FixtureList::normed_conv(const std::string& name, Shape shape, int64_t bias) {
  Shape gain(shape.size(), 1);
  gain[0] = shape[0];
  add(name + ".parametrizations.weight.original0", gain, Fill::kOne);
  weight(name + ".parametrizations.weight.original1", std::move(shape));
  if (bias > 0) add(name + ".bias", {bias}, Fill::kSmall);
}

}  // namespace ttsft
