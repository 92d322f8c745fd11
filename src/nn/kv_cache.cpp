#include "ttsft/nn/kv_cache.h"

#include <stdexcept>

namespace ttsft {

KvCache::KvCache(int64_t layers, int64_t batch, int64_t kv_heads, int64_t capacity,
                 int64_t head_dim, torch::TensorOptions options)
    : capacity_(capacity) {
  for (int64_t i = 0; i < layers; ++i) {
    layers_.push_back({torch::empty({batch, kv_heads, capacity, head_dim}, options),
                       torch::empty({batch, kv_heads, capacity, head_dim}, options)});
  }
}

std::pair<torch::Tensor, torch::Tensor> KvCache::append(int64_t layer, const torch::Tensor& k,
                                                        const torch::Tensor& v) {
  const int64_t positions = k.size(2);
  if (length_ + positions > capacity_)
    throw std::logic_error("KvCache: " + std::to_string(length_ + positions) +
                           " positions in a cache of " + std::to_string(capacity_));
  Layer& stored = layers_.at(layer);
  stored.k.narrow(2, length_, positions).copy_(k);
  stored.v.narrow(2, length_, positions).copy_(v);
  return {stored.k.narrow(2, 0, length_ + positions), stored.v.narrow(2, 0, length_ + positions)};
}

void KvCache::reorder(const torch::Tensor& rows, int64_t first) {
  const int64_t moved = length_ - first;
  for (Layer& layer : layers_) {
    for (torch::Tensor* stored : {&layer.k, &layer.v}) {
      const torch::Tensor chosen = stored->narrow(2, first, moved).index_select(0, rows);
      if (rows.size(0) != stored->size(0)) {
        if (first != 0) throw std::logic_error("KvCache: more rows, but not all of what they hold");
        std::vector<int64_t> shape = stored->sizes().vec();
        shape[0] = rows.size(0);
        *stored = torch::empty(shape, stored->options());
      }
      stored->narrow(2, first, moved).copy_(chosen);
    }
  }
}

}  // namespace ttsft
