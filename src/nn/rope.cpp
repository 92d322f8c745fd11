#include "ttsft/nn/rope.h"

#include <numbers>

namespace ttsft {
namespace {

constexpr int64_t kTablePositions = 1024;  // a table grows by so many

// Long wavelengths are stretched, short ones kept, those between blended.
torch::Tensor scale_llama3(const torch::Tensor& inv_freq, const Llama3Scaling& s) {
  const double longest = s.original_max_position / s.low_freq_factor;
  const double shortest = s.original_max_position / s.high_freq_factor;
  const torch::Tensor wavelength = 2 * std::numbers::pi / inv_freq;
  const torch::Tensor blend = (s.original_max_position / wavelength - s.low_freq_factor) /
                              (s.high_freq_factor - s.low_freq_factor);
  const torch::Tensor between = (1 - blend) * inv_freq / s.factor + blend * inv_freq;
  return torch::where(wavelength > longest, inv_freq / s.factor,
                      torch::where(wavelength < shortest, inv_freq, between));
}

}  // namespace

Rope make_rope(const torch::Tensor& positions, const RopeOptions& o, torch::Dtype dtype) {
  const auto options = torch::TensorOptions().device(positions.device()).dtype(torch::kFloat32);
  const torch::Tensor exponent =
      torch::arange(0, o.head_dim, 2, options) / static_cast<double>(o.head_dim);
  torch::Tensor inv_freq = torch::reciprocal(torch::pow(o.theta, exponent));  // [d / 2]
  if (o.scaling) inv_freq = scale_llama3(inv_freq, *o.scaling);
  torch::Tensor angles = positions.to(torch::kFloat32).unsqueeze(-1) * inv_freq;  // [..., T, d / 2]
  angles = o.layout == RopeLayout::kHalves ? torch::cat({angles, angles}, -1)
                                           : angles.repeat_interleave(2, -1);  // [..., T, d]
  angles = angles.dim() == 2 ? angles.unsqueeze(0).unsqueeze(0)
                             : angles.unsqueeze(1);  // [B or 1, 1, T, d]
  return {angles.cos().to(dtype), angles.sin().to(dtype), o.layout};
}

void RopeTable::reserve(int64_t positions, torch::Device device, torch::Dtype dtype) {
  if (cos_.defined() && cos_.size(2) >= positions && cos_.device() == device &&
      cos_.scalar_type() == dtype)
    return;
  // A table outlives the call that needed it first: it must not be of a kind that autograd refuses.
  const c10::InferenceMode normal(false);
  const torch::NoGradGuard no_grad;
  const int64_t size = (positions + kTablePositions - 1) / kTablePositions * kTablePositions;
  const Rope rope = make_rope(
      torch::arange(size, torch::TensorOptions().device(device).dtype(torch::kInt64)), options_,
      bf16_ ? torch::kBFloat16 : dtype);
  cos_ = rope.cos.to(dtype);
  sin_ = rope.sin.to(dtype);
}

Rope RopeTable::range(int64_t first, int64_t time, torch::Device device, torch::Dtype dtype) {
  reserve(first + time, device, dtype);
  return {cos_.narrow(2, first, time), sin_.narrow(2, first, time), options_.layout};
}

Rope RopeTable::at(const torch::Tensor& positions, int64_t bound, torch::Dtype dtype) {
  reserve(bound, positions.device(), dtype);
  const auto rows = [&](const torch::Tensor& table) {
    const torch::Tensor chosen = table.flatten(0, 2).index_select(0, positions.flatten());
    return positions.dim() == 2
               ? chosen.view({positions.size(0), 1, positions.size(1), options_.head_dim})
               : chosen.view({1, 1, positions.size(0), options_.head_dim});
  };
  return {rows(cos_), rows(sin_), options_.layout};
}

Rope make_rope(const torch::Tensor& positions, int64_t head_dim, double theta, torch::Dtype dtype) {
  RopeOptions options;
  options.head_dim = head_dim;
  options.theta = theta;
  return make_rope(positions, options, dtype);
}

torch::Tensor apply_rope(const torch::Tensor& x, const Rope& rope) {
  torch::Tensor rotated;
  if (rope.layout == RopeLayout::kHalves) {
    const auto halves = x.chunk(2, -1);
    rotated = torch::cat({-halves[1], halves[0]}, -1);
  } else {
    const torch::Tensor pairs = x.unflatten(-1, {-1, 2});
    rotated = torch::stack({-pairs.select(-1, 1), pairs.select(-1, 0)}, -1).flatten(-2);
  }
  return x * rope.cos + rotated * rope.sin;
}

}  // namespace ttsft
