// A table of positions as GPT-2's descendants in speech keep it. Child name: emb.
#pragma once

#include <torch/torch.h>

#include "ttsft/nn/layers.h"

namespace ttsft {

class LearnedPositionsImpl : public torch::nn::Module {
 public:
  LearnedPositionsImpl(int64_t positions, int64_t dim) {
    emb = register_module("emb", Embedding(positions, dim));
  }
  torch::Tensor forward(const torch::Tensor& positions) { return emb(positions); }

 private:
  Embedding emb{nullptr};
};
TORCH_MODULE(LearnedPositions);

}  // namespace ttsft
