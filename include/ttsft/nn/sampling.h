// From scores to tokens, in the order of Hugging Face's generate: temperature, top-k, top-p. What
// comes before it are rules (nn/token_rules.h).
#pragma once

#include <torch/torch.h>

namespace ttsft {

struct SamplingOptions {
  bool greedy = false;  // argmax; the filters below are not applied
  double temperature = 1.0;
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;        // 1: off
  double min_p = 0.0;        // 0: off
  bool min_p_first = false;  // before top-k and top-p, as Chatterbox does it
  bool top_p_first = false;  // before top-k: of all probabilities, as CosyVoice does it
  bool untempered = false;   // the filters look at scores before the temperature (Fish Speech)
  bool below_top_p = false;  // the entry that crosses top_p goes too (Fish Speech)
  int64_t min_keep = 1;  // no filter leaves fewer; Hugging Face keeps 2 for each beam of a search
};

// Temperature and filters; dropped entries become -inf.
torch::Tensor filter_scores(torch::Tensor scores, const SamplingOptions& options);  // [B, V]

// One token per row. uniform: [R, V] in (0, 1), not looked at when greedy.
torch::Tensor pick_tokens(const torch::Tensor& scores, const SamplingOptions& options,
                          const torch::Tensor& uniform);  // [R, V] -> [R]

}  // namespace ttsft
