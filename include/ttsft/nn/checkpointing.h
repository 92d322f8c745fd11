// Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): keep the input of a piece of the
// network, run the piece again in the backward pass. Costs a forward pass, saves its activations.
#pragma once

#include <torch/torch.h>

#include <functional>

namespace ttsft {

// fn must be a pure function of its argument and of parameters that require gradients themselves;
// the random state is not replayed, so it may not contain dropout (the engines refuse the
// combination).
torch::Tensor checkpoint(std::function<torch::Tensor(const torch::Tensor&)> fn,
                         const torch::Tensor& x);

}  // namespace ttsft
