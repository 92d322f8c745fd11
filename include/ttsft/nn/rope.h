// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#pragma once

#include <torch/torch.h>

namespace ttsft {

// cos and sin for a set of positions, computed in float32 whatever the model's type. Made once per
// forward, shared by all layers.
struct Rope {
  torch::Tensor cos, sin;  // [B or 1, 1, T, head_dim]
};

// Half-split form (GPT-NeoX, Llama in Hugging Face): first half of the head rotates with the second
// half. positions: [T] or [B, T], any integer type.
Rope make_rope(const torch::Tensor& positions, int64_t head_dim, double theta, torch::Dtype dtype);

torch::Tensor apply_rope(const torch::Tensor& x, const Rope& rope);  // [B, H, T, head_dim]

}  // namespace ttsft
