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

// cos and sin of positions 0, 1, .. for a stack of layers, made once per device and type and looked
// up afterwards.
class RopeTable {
 public:
  // bf16: the table is rounded to bfloat16 whatever the model's type (Fish Speech).
  explicit RopeTable(const RopeOptions& options, bool bf16 = false)
      : options_(options), bf16_(bf16) {}

  const RopeOptions& options() const { return options_; }
  Rope range(int64_t first, int64_t time, torch::Device device, torch::Dtype dtype);
  // positions [T] or [B, T], all below bound.
  Rope at(const torch::Tensor& positions, int64_t bound, torch::Dtype dtype);

 private:
  void reserve(int64_t positions, torch::Device device, torch::Dtype dtype);

  RopeOptions options_;
  bool bf16_;
  torch::Tensor cos_, sin_;  // [1, 1, P, head_dim]
};

torch::Tensor apply_rope(const torch::Tensor& x, const Rope& rope);  // [B, H, T, head_dim]

}  // namespace ttsft
