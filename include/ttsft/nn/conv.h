// Causal convolutions of neural codecs: left padding only, so that a frame never hears the future.
// Weights start uninitialised and without gradient: codecs are read from files and never trained.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "ttsft/nn/rows.h"

namespace ttsft {

struct ConvOptions {
  int64_t in = 0, out = 0, kernel = 1, stride = 1, dilation = 1, groups = 1;
  bool bias = true;

  int64_t effective_kernel() const { return (kernel - 1) * dilation + 1; }
};

enum class EdgePadding { kZeros, kReplicate };

// What a causal network has heard so far, for input that comes piece by piece: for each layer the
// last values of its own input. Layers are told apart by the order in which they run, so that every
// piece must run the same ones.
class ConvStream {
 public:
  void next_piece() { layer_ = 0; }
  void forget() { past_.clear(); }  // the next piece starts a signal
  // x [B, C, T] of the layer whose turn it is, with the `frames` values before it in front; zeros
  // before the start.
  torch::Tensor with_past(const torch::Tensor& x, int64_t frames);

 private:
  std::vector<torch::Tensor> past_;
  size_t layer_ = 0;
};

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

  // [B, C, T] -> [B, C', ceil(T / stride)]. With a stream (stride 1, zero edges) x goes on from the
  // piece before.
  torch::Tensor forward(const torch::Tensor& x, ConvStream* stream = nullptr);

  // A batch of rows of unequal length: each row comes out as it would alone, its own padding
  // included. x must be zero beyond the lengths; so is the result, whose lengths replace `lengths`.
  torch::Tensor forward_rows(const torch::Tensor& x, RowLengths& lengths);

 private:
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
  // [B, C, T] -> [B, C', T * stride]. With a stream x goes on from the piece before.
  torch::Tensor forward(const torch::Tensor& x, ConvStream* stream = nullptr);

 private:
  ConvOptions options_;
  ConvTranspose1d conv{nullptr};
};
TORCH_MODULE(CausalConvTranspose1d);

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
