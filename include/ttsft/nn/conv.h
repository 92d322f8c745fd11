// Causal convolutions of neural codecs: left padding only, so that a frame never hears the future.
// Weights start uninitialised and without gradient: codecs are read from files and never trained.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace ttsft {

struct ConvOptions {
  int64_t in = 0, out = 0, kernel = 1, stride = 1, dilation = 1, groups = 1;
  bool bias = true;

  int64_t effective_kernel() const { return (kernel - 1) * dilation + 1; }
};

// Valid frames of each row of a right-padded batch [B, C, T].
using RowLengths = std::vector<int64_t>;

// x[b, :, lengths[b]:] = 0, in place. Rows of the full length cost nothing.
void zero_beyond_(torch::Tensor& x, const RowLengths& lengths);

enum class EdgePadding { kZeros, kReplicate };

// A plain Conv1d; weight [out, in / groups, kernel].
class Conv1dImpl : public torch::nn::Module {
 public:
  explicit Conv1dImpl(const ConvOptions& options);
  // padding: zeros on both sides. [B, C, T] -> [B, C', T']
  torch::Tensor forward(const torch::Tensor& x, int64_t padding = 0);
  const ConvOptions& options() const { return options_; }
  torch::Tensor weight, bias;  // bias undefined when there is none

 private:
  ConvOptions options_;
};
TORCH_MODULE(Conv1d);

// Encodec-style causal convolution: (kernel - 1) * dilation + 1 - stride values on the left, and as
// many on the right as complete the last window, so that the output has ceil(T / stride) frames.
// Child name: conv.
class CausalConv1dImpl : public torch::nn::Module {
 public:
  explicit CausalConv1dImpl(const ConvOptions& options, EdgePadding edge = EdgePadding::kZeros);

  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', ceil(T / stride)]

  // A batch of rows of unequal length: each row comes out as it would alone, its own padding
  // included. x must be zero beyond the lengths; so is the result, whose lengths replace `lengths`.
  torch::Tensor forward_rows(const torch::Tensor& x, RowLengths& lengths);

 private:
  torch::Tensor replicate_edges(const torch::Tensor& x, const RowLengths* lengths) const;
  torch::Tensor convolve(const torch::Tensor& x, const RowLengths* lengths);

  ConvOptions options_;
  EdgePadding edge_;
  Conv1d conv{nullptr};
};
TORCH_MODULE(CausalConv1d);

// A plain transposed convolution; weight [in, out / groups, kernel].
class ConvTranspose1dImpl : public torch::nn::Module {
 public:
  explicit ConvTranspose1dImpl(const ConvOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', (T - 1) * stride + kernel]
  torch::Tensor weight, bias;                     // bias undefined when there is none

 private:
  ConvOptions options_;
};
TORCH_MODULE(ConvTranspose1d);

// Transposed convolution whose last kernel - stride samples are cut off. Child name: conv.
class CausalConvTranspose1dImpl : public torch::nn::Module {
 public:
  explicit CausalConvTranspose1dImpl(const ConvOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', T * stride]

 private:
  ConvOptions options_;
  ConvTranspose1d conv{nullptr};
};
TORCH_MODULE(CausalConvTranspose1d);

// SnakeBeta (BigVGAN, Lee et al. 2022) with log-scale parameters:
// x + sin^2(exp(alpha) x) / (exp(beta) + 1e-9).
class SnakeBetaImpl : public torch::nn::Module {
 public:
  explicit SnakeBetaImpl(int64_t channels);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]
  torch::Tensor alpha, beta;                      // [C]
};
TORCH_MODULE(SnakeBeta);

// Modules by their upstream index or name, where upstream counts activations that hold no weights:
// "layers.0", "layers.1", "layers.3".
class ModuleGroupImpl : public torch::nn::Module {
 public:
  template <typename Holder>
  Holder add(const std::string& name, Holder module) {
    register_module(name, module);
    return module;
  }
  template <typename Holder>
  Holder add(int64_t index, Holder module) {
    return add(std::to_string(index), std::move(module));
  }
};
TORCH_MODULE(ModuleGroup);

}  // namespace ttsft
