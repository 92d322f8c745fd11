// Rows of unequal length that a network shall run over together.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "ttsft/nn/conv.h"

namespace ttsft {

// The rows of each batch, longest first: rows of like length share one, so that hardly anything is
// padding. Rows times the longest length stay within the budget, unless a single row exceeds it.
std::vector<std::vector<size_t>> length_batches(const std::vector<int64_t>& lengths,
                                                int64_t budget);

// rows[i] [length_i, ...] of one width -> [B, longest, ...], zeros behind each row.
torch::Tensor pad_rows(const std::vector<torch::Tensor>& rows);

// Bool [B, time], true where a row has a frame; undefined when every row fills the batch.
torch::Tensor real_frames(const RowLengths& lengths, int64_t time, torch::Device device);

}  // namespace ttsft
