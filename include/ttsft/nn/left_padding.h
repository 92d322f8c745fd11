// Prompts of unequal length in one batch for decoding: padded on the left, so that the last
// position of every row is a real one and new positions follow in one column.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace ttsft {

struct LeftPadded {
  torch::Tensor inputs;   // [B, T, D]
  torch::Tensor lengths;  // [B], int64
  // Undefined when no row is padded: then plain causal attention and counted positions are right.
  torch::Tensor mask;          // [B, 1, 1, T + extra], bool: real positions and those to come
  torch::Tensor prefill_mask;  // [B, 1, T, T], bool: what each position of the prompts sees
  torch::Tensor positions;     // [B, T], from 0 at each row's first real position
};

// rows: [T_i, D] each. extra: positions that decoding will add.
LeftPadded pad_left(const std::vector<torch::Tensor>& rows, int64_t extra,
                    torch::TensorOptions options);

}  // namespace ttsft
