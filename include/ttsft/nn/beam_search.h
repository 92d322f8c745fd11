// Beam search over a batch of texts, greedy or sampled, with Hugging Face's rules
// (transformers/generation/beam_search.py, BeamSearchScorer with early_stopping=False): candidates
// are ranked over all beams of a text; an end token among the first N ranks closes a hypothesis, at
// a later rank it is ignored; a text is finished when it has N hypotheses and the worst of them is
// at least as good as the best candidate of the step.
//
// Everything stays on the device: no step waits for it.
#pragma once

#include <torch/torch.h>

#include <vector>

namespace ttsft {

struct BeamOptions {
  int64_t beams = 1;
  int64_t end_token = 0;
  // A hypothesis of n tokens (the end token is one) scores sum of log-probabilities / n^penalty.
  double length_penalty = 0.0;
  // Candidates are drawn from the softmax over all beams, without replacement, instead of taken
  // from the top.
  bool sample = false;
};

class BeamSearch {
 public:
  // capacity: steps at most, at least 1.
  BeamSearch(const BeamOptions& options, int64_t texts, int64_t capacity, torch::Device device);

  // Where each of the B * N beams goes on. Rows of one text stand together.
  struct Step {
    torch::Tensor tokens;  // [B * N], int64; never the end token
    torch::Tensor rows;    // [B * N], int64: the earlier row that this one continues
  };
  // scores: log-probabilities of the next token after all processors, [B * N, V], float32. In the
  // first step the beams of a text are equal, and only its first row counts. generators: one per
  // text, unused unless sampling.
  Step advance(const torch::Tensor& scores, std::vector<torch::Generator>& generators);

  torch::Tensor finished() const { return finished_; }  // [B], bool
  // The best hypothesis of each text so far, without the end token; running beams count as
  // hypotheses of texts that are not finished. [n], int64, on the CPU.
  std::vector<torch::Tensor> best() const;

 private:
  torch::Tensor lengthwise(const torch::Tensor& scores, int64_t tokens) const;
  torch::Tensor candidates(const torch::Tensor& scores, std::vector<torch::Generator>& generators);

  BeamOptions options_;
  int64_t texts_, steps_ = 0;
  torch::Tensor beam_scores_;  // [B, N], sums of log-probabilities
  torch::Tensor tokens_;       // [B, N, capacity] of the running beams
  // Closed hypotheses, best first; -inf where there is none.
  torch::Tensor closed_scores_, closed_lengths_;  // [B, N]
  torch::Tensor closed_tokens_;                   // [B, N, capacity]
  torch::Tensor finished_;
};

}  // namespace ttsft
