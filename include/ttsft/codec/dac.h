// Causal residual units and upsampling blocks of the codecs that descend from SEANet and DAC
// (Zeghidour et al. 2021, Kumar et al. 2023): one class with options, since codecs differ in
// activations and names only.
#pragma once

#include <torch/torch.h>

#include <array>
#include <string>
#include <vector>

#include "ttsft/nn/conv.h"
#include "ttsft/nn/snake.h"

namespace ttsft {

enum class DacActivation {
  kElu,        // SEANet, Mimi
  kSnake,      // DAC, Fish
  kSnakeBeta,  // Qwen3-TTS
};

struct DacUnitOptions {
  int64_t channels = 0;
  int64_t hidden = 0;                // between the two convolutions; 0: the channels
  int64_t kernel = 7, dilation = 1;  // of the first one; the second has a kernel of 1
  DacActivation activation = DacActivation::kSnake;
  std::string group = "block";  // child that holds the four; empty: they are children themselves
  std::array<std::string, 4> names = {"0", "1", "2",
                                      "3"};  // activation, convolution, activation, convolution
};

// x + conv2(act2(conv1(act1(x)))).
class DacUnitImpl : public torch::nn::Module {
 public:
  explicit DacUnitImpl(const DacUnitOptions& options);
  // [B, C, T]. With a stream x goes on from the piece before.
  torch::Tensor forward(const torch::Tensor& x, ConvStream* stream = nullptr);
  // Rows as if alone; x must be zero beyond the lengths, and so is the result.
  torch::Tensor forward_rows(const torch::Tensor& x, RowLengths& lengths);

 private:
  torch::Tensor activate(size_t which, const torch::Tensor& x);

  DacActivation activation_;
  std::array<Snake, 2> snakes_{nullptr, nullptr};
  std::array<SnakeBeta, 2> betas_{nullptr, nullptr};
  CausalConv1d conv1_{nullptr}, conv2_{nullptr};
};
TORCH_MODULE(DacUnit);

struct DacUpBlockOptions {
  int64_t in = 0, out = 0, rate = 0;
  std::vector<int64_t> dilations = {1, 3, 9};  // a unit for each
  DacUnitOptions unit;                         // channels and dilation are set by the block
};

// Activation, transposed convolution of kernel 2 rate, units. Child names: block.0, block.1,
// block.2, ...
class DacUpBlockImpl : public torch::nn::Module {
 public:
  explicit DacUpBlockImpl(const DacUpBlockOptions& options);
  torch::Tensor forward(const torch::Tensor& x,
                        ConvStream* stream = nullptr);  // [B, in, T] -> [B, out, T * rate]

 private:
  Snake snake_{nullptr};
  SnakeBeta beta_{nullptr};
  CausalConvTranspose1d up_{nullptr};
  std::vector<DacUnit> units_;
};
TORCH_MODULE(DacUpBlock);

}  // namespace ttsft
