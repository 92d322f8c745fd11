// Losses of many batches as sums, so that a set's loss is the mean over its tokens and not a mean
// of means.
#pragma once

#include <torch/torch.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ttsft/model/stage.h"

namespace ttsft {

// Of one term over some tokens.
struct TermTotals {
  double weight = 1.0;
  double tokens = 0;                     // the denominator: tokens, each codebook's own, or weights
  double sum = 0;                        // of the losses
  std::optional<int64_t> correct;        // nothing where the term has no accuracy
  std::vector<double> sum_per_codebook;  // means' numerators; empty for terms without codebooks
  std::vector<int64_t> correct_per_codebook;
  double tokens_per_codebook = 0;
  double mean() const { return tokens > 0 ? sum / tokens : 0.0; }
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
    torch::Tensor sum;      // [rows, C], float64, C = 1 without codebooks
    torch::Tensor correct;  // [rows, C] counts, float64; undefined without accuracy
    torch::Tensor tokens;   // [rows], float64: denominator of one column per row
    bool codebooks;
  };
  std::vector<Part> parts_;
};

}  // namespace ttsft
