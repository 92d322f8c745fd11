// What a stage's decode_probe computes: a training row decoded position by position.
#pragma once

#include <torch/torch.h>

#include <functional>

namespace ttsft {

// inputs [1, T, D] of which the first `prompt` are the prefill. forward feeds positions to a model
// with a cache and gives their states [1, n, D]; logits of one state [1, D] -> [1, V]. Returns
// those of the prefill's end and of every later position, float32, [T - prompt + 1, V].
torch::Tensor stepwise_logits(const torch::Tensor& inputs, int64_t prompt,
                              const std::function<torch::Tensor(const torch::Tensor&)>& forward,
                              const std::function<torch::Tensor(const torch::Tensor&)>& logits);

}  // namespace ttsft
