// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
#pragma once

#include <torch/torch.h>

#include <optional>

namespace ttsft {

enum class RopeLayout {
  kHalves,       // GPT-NeoX, Llama in Hugging Face: first half of the head rotates with the second
  kInterleaved,  // the paper's and Meta's: neighbours rotate with each other
};

// Llama 3.1's stretching of low frequencies (rope_type "llama3" in Hugging Face).
struct Llama3Scaling {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  double original_max_position = 8192;
};

struct RopeOptions {
  int64_t head_dim = 0;
  double theta = 10000;
  RopeLayout layout = RopeLayout::kHalves;
  std::optional<Llama3Scaling> scaling;
};

// cos and sin for a set of positions, computed in float32 whatever the model's type. Made once per
// forward, shared by all layers.
struct Rope {
  torch::Tensor cos, sin;  // [B or 1, 1, T, head_dim]
  RopeLayout layout = RopeLayout::kHalves;
};

// positions: [T] or [B, T], any integer type.
Rope make_rope(const torch::Tensor& positions, const RopeOptions& options, torch::Dtype dtype);
Rope make_rope(const torch::Tensor& positions, int64_t head_dim, double theta, torch::Dtype dtype);

torch::Tensor apply_rope(const torch::Tensor& x, const Rope& rope);  // [B, H, T, head_dim]

}  // namespace ttsft
