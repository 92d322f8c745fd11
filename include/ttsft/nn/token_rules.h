// What stands between logits and the choice of a token, as a list of rules on device tensors that a
// model puts together in upstream's order (CTranslate2's LogitsProcessor, Hugging Face's
// LogitsProcessorList).
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <vector>

#include "ttsft/nn/noise.h"
#include "ttsft/nn/sampling.h"

namespace ttsft {

// What the rows of a batch have said so far.
struct TokenHistory {
  torch::Tensor seen;    // [R, V], bool: ids that count as said
  torch::Tensor tokens;  // [R, capacity], int64: chosen ids in order
  torch::Tensor count;   // [R], int64: how many of them there are
  torch::Tensor at_least{};  // [R], int64: how many a row must have; undefined: any number
};

class TokenRule {
 public:
  virtual ~TokenRule() = default;
  virtual torch::Tensor apply(const torch::Tensor& scores, const TokenHistory& history) const = 0;
};
using TokenRules = std::vector<std::shared_ptr<const TokenRule>>;

torch::Tensor apply_rules(const TokenRules& rules, torch::Tensor scores,  // [R, V]
                          const TokenHistory& history);

// Scores of ids that were said are divided by the penalty where positive and multiplied where
// negative (Keskar et al. 2019).
std::shared_ptr<const TokenRule> repetition_penalty(double penalty);
// Ids outside `allowed` ([V], bool) are never chosen.
std::shared_ptr<const TokenRule> allowed_ids(torch::Tensor allowed);
// The ids are not chosen before so many tokens have been.
std::shared_ptr<const TokenRule> no_end_before(int64_t tokens, std::vector<int64_t> ids);

// Nor before each row has as many as it must have (TokenHistory::at_least).
std::shared_ptr<const TokenRule> no_end_before_own(torch::Tensor ids);  // bool [V]

// Repetition aware sampling (VALL-E 2, Chen et al. 2024): a draw that stands often enough among the
// latest tokens is replaced by another one.
struct RepetitionAware {
  int64_t window = 10;  // latest tokens that are looked at
  int64_t times = 1;    // the draw is replaced when it stands there so often
  int64_t skip = 0;     // first tokens of a row that never count
  SamplingOptions again;       // of the other draw
  bool without_first = false;  // the other draw leaves out what was drawn first (CosyVoice)
  torch::Tensor only;          // [V], bool: ids that are replaced; undefined: all
};

// [R, V] -> [R]. Streams of `noise`: "token" and, repetition aware, "token again".
torch::Tensor choose_tokens(const torch::Tensor& scores, const SamplingOptions& options,
                            const std::optional<RepetitionAware>& aware,
                            const TokenHistory& history, const NoiseSource& noise);

}  // namespace ttsft
