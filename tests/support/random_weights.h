// Modules whose parameters hold reproducible random values, each by its own name.
#pragma once

#include <torch/torch.h>

#include "ttsft/nn/rng.h"

namespace ttsft::test {

inline torch::Tensor random(torch::IntArrayRef shape, uint64_t seed, double deviation = 1.0) {
  torch::Generator generator = make_generator(torch::kCPU, seed);
  return torch::empty(shape).normal_(0, deviation, generator);
}

inline void randomize(torch::nn::Module& module, uint64_t seed = 5, double deviation = 0.4) {
  torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    torch::Generator generator = make_generator(torch::kCPU, derive_seed(seed, item.key()));
    item.value().normal_(0, deviation, generator);
  }
}

}  // namespace ttsft::test
