// Small layers whose parameters start uninitialised: weights always come from a file, and
// initialising two billion values that are overwritten a moment later takes longer than loading
// them.
#pragma once

#include <torch/torch.h>

namespace ttsft {

// weight [num, dim]; forward(ids [...]) -> [..., dim]
class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(int64_t num, int64_t dim);
  torch::Tensor forward(const torch::Tensor& ids);
  torch::Tensor weight;
};
TORCH_MODULE(Embedding);

// Rows [U, D] that stand at several places each: index [N] -> [N, D]. Their gradients are summed in
// float32 (index_select would add thousands of bfloat16 values one by one, and on a GPU in any
// order).
torch::Tensor shared_rows(const torch::Tensor& rows, const torch::Tensor& index);

// RMSNorm (Zhang and Sennrich 2019): x / sqrt(mean(x^2) + eps) * weight, mean in float32.
class RmsNormImpl : public torch::nn::Module {
 public:
  RmsNormImpl(int64_t dim, double eps);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor weight;

 private:
  double eps_;
};
TORCH_MODULE(RmsNorm);

// LayerNorm over the last dimension, with weight and bias.
class LayerNormImpl : public torch::nn::Module {
 public:
  LayerNormImpl(int64_t dim, double eps);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor weight, bias;

 private:
  double eps_;
};
TORCH_MODULE(LayerNorm);

// x * scale, one factor per channel (LayerScale, Touvron et al. 2021). name: of the parameter.
class LayerScaleImpl : public torch::nn::Module {
 public:
  explicit LayerScaleImpl(int64_t dim, const char* name = "scale");
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor scale;
};
TORCH_MODULE(LayerScale);

}  // namespace ttsft
