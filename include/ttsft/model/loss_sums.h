// Losses of many batches as sums, so that a set's loss is the mean over its tokens and not a mean
// of means.
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "ttsft/model/stage.h"

namespace ttsft {

// Of one term over some tokens.
struct TermTotals {
  double weight = 1.0;
  int64_t tokens = 0;
  double nll = 0;                        // sum over the tokens
  int64_t correct = 0;                   // when accuracy was asked for
  std::vector<double> nll_per_codebook;  // means' numerators; empty for terms without codebooks
  std::vector<int64_t> correct_per_codebook;
  int64_t tokens_per_codebook = 0;
  double mean() const { return tokens ? nll / static_cast<double>(tokens) : 0.0; }
};

struct LossTotals {
  std::map<std::string, TermTotals> terms;
  double loss() const;  // weighted sum of the terms' means
};

class LossSums {
 public:
  // Adds a batch. Sums stay on the device; nothing waits for it before totals() or utterances() is
  // called.
  void add(const Batch& batch, const std::vector<LossTerm>& terms);

  LossTotals totals() const;
  std::map<std::string, LossTotals> utterances() const;  // by id

 private:
  struct Part {
    std::vector<std::string> ids;
    std::string term;
    double weight;
    torch::Tensor nll;      // [rows, C], float64, C = 1 without codebooks
    torch::Tensor correct;  // [rows, C] counts, float64; undefined without accuracy
    torch::Tensor tokens;   // [rows], float64: supervised positions per row
    bool codebooks;
  };
  std::vector<Part> parts_;
};

}  // namespace ttsft
