// Keys and values of earlier positions. Rows are slots of their own length: a row that is finished
// leaves, another one comes in, and none of that moves the others. How long each row is lies on
// the device, so that a step writes where its row ends without a word from the host (nanochat's
// engine.py, `cache_seqlens`).
#pragma once

#include <torch/torch.h>

#include <utility>
#include <vector>

namespace ttsft {

class KvCache {
 public:
  // capacity: positions to begin with; open() makes room for more, in tiers.
  KvCache(int64_t layers, int64_t rows, int64_t kv_heads, int64_t capacity, int64_t head_dim,
          torch::TensorOptions options);

  // Where the next `time` positions of each row come to lie and what they see. Asked for once per
  // forward, before the layers write.
  struct Step {
    int64_t time = 0, keys = 0;  // new positions; positions that they may look at
    int64_t first = 0;           // of a level cache: where all rows' new positions begin
    torch::Tensor positions;     // [rows, time], int64; undefined in a level cache
    torch::Tensor rows;          // [rows * time], their places in the buffers; likewise
    torch::Tensor mask;          // [rows or 1, 1, time, keys], bool; undefined: all, or causal
    bool causal = false;         // the new positions are the first ones
  };
  // window: 0, or the number of positions that one sees, itself included.
  Step open(int64_t time, int64_t window = 0);

  // Stores k and v [rows, kv_heads, time, head_dim] of one layer at the places of `step` and
  // returns what the new positions may look at: [rows, kv_heads, keys, head_dim], views.
  std::pair<torch::Tensor, torch::Tensor> write(const Step& step, int64_t layer,
                                                const torch::Tensor& k, const torch::Tensor& v);

  // Counts the positions of a step as stored: all of them, or of each row the first used[row]
  // (prompts that are padded behind their end; what lies there is overwritten and never seen).
  void advance(int64_t time);
  void advance(const std::vector<int64_t>& used);
  void reset();  // empty again, the buffers are reused

  // Row i goes on as what row rows[i] holds: rows leave or multiply.
  void keep(const std::vector<int64_t>& rows);
  // The same on the device and in every step, for beams: [rows], int64. Rows take the place only of
  // rows that are as long and equal in the first `shared` positions.
  void permute(const torch::Tensor& rows, int64_t shared);
  // The rows of another cache of the same model, behind ours.
  void join(KvCache&& other);

  int64_t rows() const { return rows_; }
  int64_t length() const { return longest_; }  // of the longest row
  int64_t capacity() const { return capacity_; }
  bool level() const { return level_; }  // all rows are equally long
  const torch::Tensor& lengths() const { return lengths_; }  // [rows], int64

 private:
  struct Layer {
    torch::Tensor k, v;              // [rows, capacity, kv_heads, head_dim]
    torch::Tensor spare_k, spare_v;  // where permute() writes; undefined before its first call
  };
  void reserve(int64_t positions);
  void learn(std::vector<int64_t> lengths);

  std::vector<Layer> layers_;
  int64_t rows_ = 0, kv_heads_, head_dim_, capacity_ = 0;
  // Bounds that the host knows without asking: rows are counted up step by step, also those that
  // have ended.
  std::vector<int64_t> lengths_on_host_;
  int64_t longest_ = 0;
  bool level_ = true;
  torch::Tensor lengths_, row_index_;  // [rows], int64
  int64_t spared_ = -1;  // positions that the spare buffers share with the main ones
};

}  // namespace ttsft
