// Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): keep the input of a piece of the
// network, run the piece again in the backward pass. Costs a forward pass, saves its activations.
#pragma once

#include <torch/torch.h>

#include <functional>

namespace ttsft {

// fn must be a pure function of its arguments, of parameters that require gradients themselves, and
// of the default random generators (of the CPU and of x's device): the second run sees them in the
// state of the first, so dropout draws the same masks, and finds them as they were afterwards.
//
// Inside another checkpoint, and where no gradient is wanted, fn just runs: the outer one has
// dropped its activations already.
torch::Tensor checkpoint(std::function<torch::Tensor(const torch::Tensor&)> fn,
                         const torch::Tensor& x);
// The same of a piece that also hears what others do and that may take a gradient: the embedding of
// a time, say.
torch::Tensor checkpoint(
    std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& shared)> fn,
    const torch::Tensor& x, const torch::Tensor& shared);

// Runs fn over chunks of rows of x [N, ...] under one checkpoint each, so that the activations of
// one chunk are alive at a time, and joins the results. fn gets (rows of x, first row, rows).
torch::Tensor checkpoint_rows(
    const std::function<torch::Tensor(const torch::Tensor&, int64_t, int64_t)>& fn,
    const torch::Tensor& x, int64_t chunk);

// A module whose forward pass can run its parts under checkpoint().
class Recomputing {
 public:
  virtual ~Recomputing() = default;
  virtual void set_activation_checkpointing(bool on) { checkpointing_ = on; }

 protected:
  bool recomputes() const { return checkpointing_ && torch::GradMode::is_enabled(); }

 private:
  bool checkpointing_ = false;
};

// Switches every Recomputing module below this one; how many there are.
int64_t set_activation_checkpointing(torch::nn::Module& module, bool on);

}  // namespace ttsft
