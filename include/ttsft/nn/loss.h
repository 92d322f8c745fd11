// Cross entropy over a vocabulary whose logits are never held in full.
#pragma once

#include <torch/torch.h>

namespace ttsft {

struct TokenLoss {
  torch::Tensor nll;      // [N], float32, differentiable in hidden and weight
  torch::Tensor correct;  // [N], bool, argmax == target; undefined unless asked for
};

// Rows of a chunk whose float32 logits take at most 64 MiB; 64 to 4096.
int64_t cross_entropy_rows(int64_t vocabulary);

// -log softmax(hidden weight^T)[target] per row, in chunks of rows; the backward pass recomputes
// each chunk's logits, so that memory is chunk x V and not N x V. Sums and softmax in float32.
// chunk 0: cross_entropy_rows(V).
TokenLoss linear_cross_entropy(const torch::Tensor& hidden,   // [N, D]
                               const torch::Tensor& weight,   // [V, D]
                               const torch::Tensor& targets,  // [N], int64
                               bool want_correct = false, int64_t chunk = 0);

// The same for a head with a bias [V]: softmax(hidden weight^T + bias).
TokenLoss linear_cross_entropy(const torch::Tensor& hidden, const torch::Tensor& weight,
                               const torch::Tensor& bias, const torch::Tensor& targets,
                               bool want_correct = false, int64_t chunk = 0);

}  // namespace ttsft
