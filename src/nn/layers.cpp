#include "ttsft/nn/layers.h"

namespace ttsft {

EmbeddingImpl::EmbeddingImpl(int64_t num, int64_t dim) {
  weight = register_parameter("weight", torch::empty({num, dim}));
}

torch::Tensor EmbeddingImpl::forward(const torch::Tensor& ids) {
  return torch::embedding(weight, ids);
}

torch::Tensor shared_rows(const torch::Tensor& rows, const torch::Tensor& index) {
  // CUDA's backward pass of an embedding sums in float32 by itself.
  if (rows.is_cpu() && rows.requires_grad() && rows.scalar_type() != torch::kFloat32)
    return torch::embedding(rows.to(torch::kFloat32), index).to(rows.scalar_type());
  return torch::embedding(rows, index);
}

RmsNormImpl::RmsNormImpl(int64_t dim, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::empty({dim}));
}

torch::Tensor RmsNormImpl::forward(const torch::Tensor& x) {
  return torch::rms_norm(x, weight.sizes(), weight, eps_);
}

LayerNormImpl::LayerNormImpl(int64_t dim, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::empty({dim}));
  bias = register_parameter("bias", torch::empty({dim}));
}

torch::Tensor LayerNormImpl::forward(const torch::Tensor& x) {
  return torch::layer_norm(x, weight.sizes(), weight, bias, eps_);
}

LayerScaleImpl::LayerScaleImpl(int64_t dim, const char* name) {
  scale = register_parameter(name, torch::empty({dim}));
}

torch::Tensor LayerScaleImpl::forward(const torch::Tensor& x) {
  return x * scale;
}

}  // namespace ttsft
