// Rows of unequal length in one right-padded batch [B, C, T], of which each shall come out of a
// network as it would alone.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

namespace ttsft {

// Valid frames of each row.
using RowLengths = std::vector<int64_t>;

// The lengths on the device, and what padding at each row's own end needs of them. Copies share
// what was computed, so layers of one rate should be given one object.
class Rows {
 public:
  Rows() = default;  // every row fills the batch
  Rows(const RowLengths& lengths, int64_t time, torch::Device device);

  bool full() const { return !state_; }
  const RowLengths& lengths() const;  // of rows that are not full
  // Behind a layer that makes factor * length + more frames of each row.
  Rows scaled(int64_t factor, int64_t more = 0) const;

  torch::Tensor real(
      int64_t time) const;  // bool [B, time]; undefined when every row fills the batch

  // x[b, .., lengths[b]:] = 0, in place, and x. One masked write, none for full rows.
  torch::Tensor zero_(torch::Tensor x) const;
  // x [B, C, T] -> [B, C, left + T + right], edges as torch's paddings put them around a row alone;
  // what lies further behind a row's end is arbitrary.
  torch::Tensor pad_replicate(const torch::Tensor& x, int64_t left, int64_t right) const;
  torch::Tensor pad_reflect(const torch::Tensor& x, int64_t left, int64_t right) const;

 private:
  struct State;
  torch::Tensor padded(const torch::Tensor& x, int64_t left, int64_t right, bool reflect) const;

  std::shared_ptr<State> state_;  // null: full
};

// x[b, .., lengths[b]:] = 0, in place, for lengths that are needed once. Rows of the full length
// cost nothing.
void zero_beyond_(torch::Tensor& x, const RowLengths& lengths);

}  // namespace ttsft
