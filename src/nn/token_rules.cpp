#include "ttsft/nn/token_rules.h"

#include <algorithm>
#include <limits>

namespace ttsft {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

class RepetitionPenalty : public TokenRule {
 public:
  explicit RepetitionPenalty(double penalty) : penalty_(penalty) {}
  torch::Tensor apply(const torch::Tensor& scores, const TokenHistory& history) const override {
    const torch::Tensor punished = torch::where(scores < 0, scores * penalty_, scores / penalty_);
    return torch::where(history.seen, punished, scores);
  }

 private:
  double penalty_;
};

class AllowedIds : public TokenRule {
 public:
  explicit AllowedIds(const torch::Tensor& allowed) : banned_(~allowed) {}
  torch::Tensor apply(const torch::Tensor& scores, const TokenHistory&) const override {
    return scores.masked_fill(banned_, kNever);
  }

 private:
  torch::Tensor banned_;
};

class NoEndBefore : public TokenRule {
 public:
  NoEndBefore(int64_t tokens, std::vector<int64_t> ids) : tokens_(tokens), ids_(std::move(ids)) {}
  torch::Tensor apply(const torch::Tensor& scores, const TokenHistory& history) const override {
    const torch::Tensor early = (history.count < tokens_).unsqueeze(1);
    torch::Tensor result = scores.clone();
    for (const int64_t id : ids_) result.narrow(1, id, 1).masked_fill_(early, kNever);
    return result;
  }

 private:
  int64_t tokens_;
  std::vector<int64_t> ids_;
};

class NoEndBeforeOwn : public TokenRule {
 public:
  explicit NoEndBeforeOwn(torch::Tensor ids) : ids_(std::move(ids)) {}
  torch::Tensor apply(const torch::Tensor& scores, const TokenHistory& history) const override {
    if (!history.at_least.defined()) return scores;
    const torch::Tensor early = (history.count < history.at_least).unsqueeze(1);
    return scores.masked_fill(early & ids_, kNever);
  }

 private:
  torch::Tensor ids_;
};

// How often each row's candidate stands among its latest tokens, [R].
torch::Tensor times_among_latest(const torch::Tensor& candidate, const RepetitionAware& aware,
                                 const TokenHistory& history) {
  const int64_t window = std::min(aware.window, history.tokens.size(1));
  const torch::Tensor back = torch::arange(1, window + 1, candidate.options());  // [W]
  const torch::Tensor at = history.count.unsqueeze(1) - back;                    // [R, W]
  const torch::Tensor there = history.tokens.gather(1, at.clamp_min(0)) == candidate.unsqueeze(1);
  return (there & (at >= aware.skip)).sum(1);
}

torch::Tensor draw(const torch::Tensor& scores, const SamplingOptions& options,
                   const NoiseSource& noise, const char* stream) {
  if (options.greedy) return scores.argmax(-1);
  return pick_tokens(scores, options, noise.uniform(stream, {scores.size(1)}));
}

}  // namespace

torch::Tensor apply_rules(const TokenRules& rules, torch::Tensor scores,
                          const TokenHistory& history) {
  for (const auto& rule : rules) scores = rule->apply(scores, history);
  return scores;
}

std::shared_ptr<const TokenRule> repetition_penalty(double penalty) {
  return std::make_shared<RepetitionPenalty>(penalty);
}

std::shared_ptr<const TokenRule> allowed_ids(torch::Tensor allowed) {
  return std::make_shared<AllowedIds>(std::move(allowed));
}

std::shared_ptr<const TokenRule> no_end_before(int64_t tokens, std::vector<int64_t> ids) {
  return std::make_shared<NoEndBefore>(tokens, std::move(ids));
}

std::shared_ptr<const TokenRule> no_end_before_own(torch::Tensor ids) {
  return std::make_shared<NoEndBeforeOwn>(std::move(ids));
}

torch::Tensor choose_tokens(const torch::Tensor& scores, const SamplingOptions& options,
                            const std::optional<RepetitionAware>& aware,
                            const TokenHistory& history, const NoiseSource& noise) {
  const torch::Tensor first = draw(scores, options, noise, "token");
  if (!aware || options.greedy) return first;
  torch::Tensor replaced = times_among_latest(first, *aware, history) >= aware->times;
  if (aware->only.defined()) replaced = replaced & aware->only.index_select(0, first);
  torch::Tensor rest = scores;
  if (aware->without_first) rest = scores.scatter(1, first.unsqueeze(1), kNever);
  return torch::where(replaced, draw(rest, aware->again, noise, "token again"), first);
}

}  // namespace ttsft
