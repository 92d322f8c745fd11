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
  BeamSearch(const BeamOptions& options, int64_t texts, torch::Device device);

  // Where each of the B * N beams goes on. Rows of one text stand together.
  struct Step {
    torch::Tensor tokens;  // [B * N], int64; never the end token
    torch::Tensor rows;    // [B * N], int64: the earlier row that this one continues
  };
  // scores: log-probabilities of the next token after all processors, [B * N, V], float32. In the
  // first step the beams of a text are equal, and only its first row counts. uniform: [B, N * V] in
  // (0, 1), not looked at unless sampling.
  Step advance(const torch::Tensor& scores, const torch::Tensor& uniform = {});

  // Text i goes on as text texts[i]: texts leave. [n], int64, on the device; none of them has gone
  // on for more than `most` steps.
  void keep(const torch::Tensor& texts, int64_t most);
  // The texts of another search with the same options, behind ours; each counts its own steps.
  void join(BeamSearch&& other);

  torch::Tensor finished() const { return finished_; }  // [B], bool
  // The best hypothesis of each text so far, without the end token; running beams count as
  // hypotheses of texts that are not finished. [n], int64, on the CPU.
  std::vector<torch::Tensor> best() const;

 private:
  // scores [B, M] of hypotheses of so many tokens [B, 1]
  torch::Tensor lengthwise(const torch::Tensor& scores, const torch::Tensor& tokens) const;
  torch::Tensor candidates(const torch::Tensor& scores, const torch::Tensor& uniform) const;
  void reserve(int64_t steps);
  template <typename Change>
  void each(const Change& change);

  BeamOptions options_;
  int64_t texts_;
  int64_t most_ = 0;           // steps of the text that has gone on for longest
  torch::Tensor steps_;        // [B], int64
  torch::Tensor beam_scores_;  // [B, N], sums of log-probabilities
  torch::Tensor tokens_;       // [B, N, capacity] of the running beams
  // Closed hypotheses, best first; -inf where there is none.
  torch::Tensor closed_scores_, closed_lengths_;  // [B, N]
  torch::Tensor closed_tokens_;                   // [B, N, capacity]
  torch::Tensor finished_;
};

}  // namespace ttsft
