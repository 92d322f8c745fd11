// Causal convolutions of neural codecs: left padding only, so that a frame never hears the future.
#pragma once

#include <torch/torch.h>

namespace ttsft {

struct ConvOptions {
  int64_t in = 0, out = 0, kernel = 1, stride = 1, dilation = 1, groups = 1;
  bool bias = true;
};

enum class EdgePadding { kZeros, kReplicate };

// A plain Conv1d without padding of its own; weight [out, in / groups, kernel], uninitialised.
class Conv1dImpl : public torch::nn::Module {
 public:
  explicit Conv1dImpl(const ConvOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  const ConvOptions& options() const { return options_; }
  torch::Tensor weight, bias;

 private:
  ConvOptions options_;
};
TORCH_MODULE(Conv1d);

// Encodec-style causal convolution: (kernel - 1) * dilation + 1 - stride values on the left, and as many on the right
// as complete the last window, so that the output has ceil(T / stride) frames. Child name: conv.
class CausalConv1dImpl : public torch::nn::Module {
 public:
  explicit CausalConv1dImpl(const ConvOptions& options, EdgePadding padding = EdgePadding::kZeros);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', ceil(T / stride)]

 private:
  Conv1d conv{nullptr};
  EdgePadding padding_;
};
TORCH_MODULE(CausalConv1d);

// Transposed convolution whose last kernel - stride samples are cut off. Weight [in, out, kernel]. Child name: conv.
class CausalConvTranspose1dImpl : public torch::nn::Module {
 public:
  explicit CausalConvTranspose1dImpl(const ConvOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', T * stride]

 private:
  struct Kernel;  // holds weight and bias under the name "conv"
  ConvOptions options_;
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(CausalConvTranspose1d);

// SnakeBeta (BigVGAN, Lee et al. 2022) with log-scale parameters: x + sin^2(exp(alpha) x) / (exp(beta) + 1e-9).
class SnakeBetaImpl : public torch::nn::Module {
 public:
  explicit SnakeBetaImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  torch::Tensor alpha, beta;                      // [C]
};
TORCH_MODULE(SnakeBeta);

}  // namespace ttsft
