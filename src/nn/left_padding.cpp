#include "ttsft/nn/left_padding.h"

#include <algorithm>

namespace ttsft {

LeftPadded pad_left(const std::vector<torch::Tensor>& rows, int64_t extra,
                    torch::TensorOptions options) {
  const auto batch = std::ssize(rows);
  std::vector<int64_t> lengths;
  for (const torch::Tensor& row : rows) lengths.push_back(row.size(0));
  const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
  const int64_t time = *longest;

  LeftPadded padded;
  padded.inputs = torch::zeros({batch, time, rows.front().size(1)}, options);
  for (int64_t row = 0; row < batch; ++row) {
    const auto i = static_cast<size_t>(row);
    padded.inputs[row].narrow(0, time - lengths[i], lengths[i]).copy_(rows[i]);
  }
  padded.lengths = torch::tensor(lengths, torch::kInt64).to(options.device());
  if (*shortest == time) return padded;

  const torch::Tensor slot =
      torch::arange(time + extra, options.dtype(torch::kInt64)).unsqueeze(0);  // [1, T + extra]
  const torch::Tensor first = time - padded.lengths.unsqueeze(1);              // [B, 1]
  padded.mask = (slot >= first).view({batch, 1, 1, time + extra});
  const torch::Tensor i = slot.narrow(1, 0, time);
  padded.positions = (i - first).clamp_min(0);
  // A padded query sees itself, so that its softmax has something to add up.
  const torch::Tensor key = i.view({1, 1, time}), query = i.view({1, time, 1});
  padded.prefill_mask =
      (((key <= query) & (i >= first).unsqueeze(1)) | (key == query)).unsqueeze(1);
  return padded;
}

}  // namespace ttsft
