#include "ttsft/model/depth_head.h"

#include <vector>

namespace ttsft {

torch::Tensor DepthHead::finish(const torch::Tensor& state, const torch::Tensor& first,
                                const NoiseSource& noise) {
  if (cache_ && cache_->rows() == first.size(0)) {
    cache_->reset();
  } else {
    cache_ = model_.make_cache(first.size(0));
  }
  const int64_t levels = model_.levels();
  torch::Tensor uniform;  // [B, levels - 1, V], of all levels at once
  if (!sampling_.greedy) uniform = noise.uniform("levels", {levels - 1, model_.vocabulary()});
  std::vector<torch::Tensor> codes = {first};
  torch::Tensor input = model_.start(state, first);
  for (int64_t level = 1; level < levels; ++level) {
    const torch::Tensor scores = model_.logits(level, model_.depth(input, *cache_));
    codes.push_back(
        pick_tokens(scores, sampling_, uniform.defined() ? uniform.select(1, level - 1) : uniform));
    if (level + 1 < levels) input = model_.embed(level, codes.back());
  }
  return torch::stack(codes, 1);
}

}  // namespace ttsft
