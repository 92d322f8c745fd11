// From logits to tokens, in the order of Hugging Face's generate: penalty, suppression,
// temperature, top-k, top-p.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace ttsft {

struct SamplingOptions {
  bool greedy = false;  // argmax; the filters below are not applied
  double temperature = 1.0;
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;        // 1: off
  double min_p = 0.0;        // 0: off
  bool min_p_first = false;  // before top-k and top-p, as Chatterbox does it
  int64_t min_keep = 1;  // no filter leaves fewer; Hugging Face keeps 2 for each beam of a search
};

// Scores of ids seen before are divided by the penalty where positive and multiplied where
// negative. In place. seen: [B, V] bool.
void apply_repetition_penalty(torch::Tensor& scores, const torch::Tensor& seen, double penalty);

// Temperature and filters; dropped entries become -inf.
torch::Tensor filter_scores(torch::Tensor scores, const SamplingOptions& options);  // [B, V]

// One token per row. Each row draws from its own generator, so that a text's result does not depend
// on its neighbours.
torch::Tensor pick_tokens(const torch::Tensor& scores, const SamplingOptions& options,
                          std::vector<torch::Generator>& generators);  // [B, V] -> [B]

}  // namespace ttsft
