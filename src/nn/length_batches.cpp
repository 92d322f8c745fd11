#include "ttsft/nn/length_batches.h"

#include <algorithm>
#include <numeric>

namespace ttsft {

std::vector<std::vector<size_t>> length_batches(const std::vector<int64_t>& lengths,
                                                int64_t budget) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  std::vector<std::vector<size_t>> batches;
  for (const size_t row : order) {
    const bool room = !batches.empty() &&
                      (std::ssize(batches.back()) + 1) * lengths[batches.back().front()] <= budget;
    if (!room) batches.emplace_back();
    batches.back().push_back(row);
  }
  return batches;
}

torch::Tensor pad_rows(const std::vector<torch::Tensor>& rows) {
  int64_t longest = 0;
  for (const torch::Tensor& row : rows) longest = std::max(longest, row.size(0));
  std::vector<int64_t> shape = rows.at(0).sizes().vec();
  shape[0] = longest;
  shape.insert(shape.begin(), std::ssize(rows));
  torch::Tensor batch = torch::zeros(shape, rows[0].options());
  for (size_t i = 0; i < rows.size(); ++i) {
    batch[static_cast<int64_t>(i)].narrow(0, 0, rows[i].size(0)).copy_(rows[i]);
  }
  return batch;
}

torch::Tensor real_frames(const RowLengths& lengths, int64_t time, torch::Device device) {
  if (std::all_of(lengths.begin(), lengths.end(), [&](int64_t n) { return n == time; })) return {};
  const torch::Tensor count = torch::tensor(lengths, torch::kInt64).to(device).unsqueeze(1);
  return torch::arange(time, torch::TensorOptions().dtype(torch::kInt64).device(device)).lt(count);
}

}  // namespace ttsft
