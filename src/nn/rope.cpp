#include "ttsft/nn/rope.h"

namespace ttsft {

Rope make_rope(const torch::Tensor& positions, int64_t head_dim, double theta, torch::Dtype dtype) {
  const auto options = torch::TensorOptions().device(positions.device()).dtype(torch::kFloat32);
  const torch::Tensor exponent =
      torch::arange(0, head_dim, 2, options) / static_cast<double>(head_dim);
  const torch::Tensor inv_freq = torch::reciprocal(torch::pow(theta, exponent));  // [d / 2]
  torch::Tensor angles = positions.to(torch::kFloat32).unsqueeze(-1) * inv_freq;  // [..., T, d / 2]
  angles = torch::cat({angles, angles}, -1);                                      // [..., T, d]
  angles = angles.dim() == 2 ? angles.unsqueeze(0).unsqueeze(0)
                             : angles.unsqueeze(1);  // [B or 1, 1, T, d]
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

torch::Tensor apply_rope(const torch::Tensor& x, const Rope& rope) {
  const auto halves = x.chunk(2, -1);
  const torch::Tensor rotated = torch::cat({-halves[1], halves[0]}, -1);
  return x * rope.cos + rotated * rope.sin;
}

}  // namespace ttsft
