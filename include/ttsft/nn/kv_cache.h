// Keys and values of earlier positions, in buffers that are allocated once.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace ttsft {

class KvCache {
 public:
  struct Layer {
    torch::Tensor k, v;  // [B, kv_heads, capacity, head_dim]
  };

  KvCache(int64_t layers, int64_t batch, int64_t kv_heads, int64_t capacity, int64_t head_dim,
          torch::TensorOptions options);

  // Writes k and v [B, kv_heads, T, head_dim] behind the stored positions of one layer and returns
  // views of all that layer now holds. The length counts up once per step, by advance().
  std::pair<torch::Tensor, torch::Tensor> append(int64_t layer, const torch::Tensor& k,
                                                 const torch::Tensor& v);
  void advance(int64_t positions) { length_ += positions; }
  void reset() { length_ = 0; }  // the buffers are reused
  // Row i goes on from what row rows[i] holds: the beams of a search change places, or multiply
  // when there are more rows than before. Positions before `first` are known to be equal in the
  // rows that change places and stay where they are; with another number of rows it must be 0.
  void reorder(const torch::Tensor& rows, int64_t first = 0);  // [B'], int64

  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }

 private:
  std::vector<Layer> layers_;
  int64_t length_ = 0, capacity_ = 0;
};

}  // namespace ttsft
