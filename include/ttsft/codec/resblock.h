// The residual block of HiFi-GAN and its heirs (Kong et al. 2020): dilated convolutions in pairs,
// an activation in front of each. BigVGAN and HiFT differ in the activations.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "ttsft/nn/conv.h"
#include "ttsft/nn/probe.h"
#include "ttsft/nn/snake.h"

namespace ttsft {

// x + convs2(act(convs1(act(x)))) for each dilation. Child names: convs1, convs2; heirs add their
// activations.
class ResBlockImpl : public torch::nn::Module {
 public:
  // causal: convolutions look backwards only.
  ResBlockImpl(int64_t channels, int64_t kernel, const std::vector<int64_t>& dilations,
               bool causal = false);
  // [B, C, T]; beyond a row's end anything goes in and comes out. Stage: act0.
  torch::Tensor forward(torch::Tensor x, const Rows& rows = {}, const StageProbe& probe = {});

 protected:
  // The activation in front of convs1[pair] or, second, convs2[pair].
  virtual torch::Tensor activate(size_t pair, bool second, const torch::Tensor& x,
                                 const Rows& rows) = 0;

 private:
  torch::Tensor convolve(Conv1d& conv, const torch::Tensor& x) const;

  bool causal_;
  std::vector<Conv1d> convs1_, convs2_;
};

// With plain snakes. Child names: activations1, activations2.
class SnakeResBlockImpl : public ResBlockImpl {
 public:
  SnakeResBlockImpl(int64_t channels, int64_t kernel, const std::vector<int64_t>& dilations,
                    bool causal = false);

 protected:
  torch::Tensor activate(size_t pair, bool second, const torch::Tensor& x,
                         const Rows& rows) override;

 private:
  std::vector<Snake> activations1_, activations2_;
};
TORCH_MODULE(SnakeResBlock);

}  // namespace ttsft
