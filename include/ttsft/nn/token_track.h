// One kind of token (text, speech codes) of all rows of a batch, end to end: what goes in, where,
// and which position predicts what. For sequences that hold several tracks one behind the other.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace ttsft {

struct TokenTrack {
  torch::Tensor ids;             // [N], int64
  torch::Tensor offset;          // [N], within the row's track, from 0: of learned positions
  torch::Tensor position;        // [N], flat index into [B * T]
  torch::Tensor label;           // [L]
  torch::Tensor label_position;  // [L], flat index of the state that predicts it
  torch::Tensor label_row;       // [L]

  void each(const std::function<void(torch::Tensor&)>& visit);
};

class TokenTrackBuilder {
 public:
  // The inputs of one row, of which each predicts the next one; the last predicts `last`, or
  // nothing. place: flat index of the first. Returns the place behind them. Without labels nothing
  // is asked.
  int64_t add(std::span<const int64_t> inputs, int64_t place, int64_t row,
              std::optional<int64_t> last, bool with_labels = true);
  TokenTrack build() const;

 private:
  std::vector<int64_t> ids_, offset_, position_, label_, label_position_, label_row_;
};

}  // namespace ttsft
