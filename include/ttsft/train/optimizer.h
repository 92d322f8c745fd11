// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) and gradient clipping, each in a few fused
// passes over all parameters.
#pragma once

#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

#include "ttsft/io/safetensors.h"

namespace ttsft {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

// The arithmetic of torch.optim.AdamW: decoupled decay, bias-corrected moments. A parameter without
// a gradient is left alone, decay included, and its step does not count.
class AdamW {
 public:
  // float32 parameters, updated in place; they keep their memory.
  AdamW(NamedTensors parameters, AdamWOptions options);

  // gradients: one per parameter, float32; undefined where there is none.
  void step(const std::vector<torch::Tensor>& gradients, double learning_rate);

  // "<parameter>.exp_avg", ".exp_avg_sq" and ".step" of every parameter that was ever updated.
  NamedTensors state() const;
  // DataError for a name or shape that does not fit the parameters.
  void load_state(const SafetensorsReader& file);

 private:
  struct Slot {
    std::string name;
    torch::Tensor parameter;
    torch::Tensor exp_avg, exp_avg_sq, step;  // undefined before the first update; step: float32 []
  };
  void start(Slot& slot);

  std::vector<Slot> slots_;
  AdamWOptions options_;
};

// Total norm over all defined gradients, before clipping: a float32 scalar on their device, so that
// nothing waits for it. Above max_norm > 0 the gradients are scaled by max_norm / (norm + 1e-6), as
// torch.nn.utils.clip_grad_norm_ does.
torch::Tensor clip_gradients_(const std::vector<torch::Tensor>& gradients, double max_norm);

}  // namespace ttsft
