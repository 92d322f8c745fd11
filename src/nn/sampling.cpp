#include "ttsft/nn/sampling.h"

#include <algorithm>
#include <limits>

namespace ttsft {
namespace {

constexpr double kDropped = -std::numeric_limits<double>::infinity();

torch::Tensor keep_top_k(const torch::Tensor& scores, int64_t k, int64_t min_keep) {
  if (k <= 0) return scores;
  k = std::max(k, min_keep);
  if (k >= scores.size(-1)) return scores;
  const torch::Tensor least =
      std::get<0>(scores.topk(k, -1)).narrow(-1, k - 1, 1);  // [B, 1], the k-th largest
  return scores.masked_fill(scores < least, kDropped);
}

// Nucleus sampling (Holtzman et al. 2019), from the small end as Hugging Face does it: ascending
// order, the prefix whose cumulative probability is at most 1 - p goes, the last entries stay.
torch::Tensor keep_top_p(const torch::Tensor& scores, double p, int64_t min_keep) {
  if (p >= 1.0) return scores;
  const auto [sorted, order] = scores.sort(-1, /*descending=*/false);
  torch::Tensor drop = sorted.softmax(-1).cumsum(-1) <= 1.0 - p;
  const int64_t kept = std::min(min_keep, drop.size(-1));
  drop.narrow(-1, drop.size(-1) - kept, kept).fill_(false);
  return scores.masked_fill(torch::zeros_like(drop).scatter_(-1, order, drop), kDropped);
}

// As Fish Speech does it, from the large end: what takes the sum above p goes as well.
torch::Tensor keep_below_top_p(const torch::Tensor& scores, double p, int64_t min_keep) {
  const auto [sorted, order] = scores.sort(-1, /*descending=*/true);
  torch::Tensor drop = sorted.softmax(-1).cumsum(-1) > p;
  drop.narrow(-1, 0, std::min(min_keep, drop.size(-1))).fill_(false);
  return scores.masked_fill(torch::zeros_like(drop).scatter_(-1, order, drop), kDropped);
}

torch::Tensor keep_min_p(const torch::Tensor& scores, double p, int64_t min_keep) {
  if (p <= 0.0) return scores;
  const torch::Tensor probabilities = scores.softmax(-1);
  torch::Tensor drop = probabilities < probabilities.amax(-1, true) * p;
  if (min_keep > 1) {
    const auto best = std::get<1>(scores.topk(std::min(min_keep, scores.size(-1)), -1));
    drop.scatter_(-1, best, false);
  }
  return scores.masked_fill(drop, kDropped);
}

}  // namespace

torch::Tensor filter_scores(torch::Tensor scores, const SamplingOptions& options) {
  const auto top_p = [&] {
    if (options.below_top_p) return keep_below_top_p(scores, options.top_p, options.min_keep);
    return keep_top_p(scores, options.top_p, options.min_keep);
  };
  if (!options.untempered) scores = scores / options.temperature;
  if (options.min_p_first) scores = keep_min_p(scores, options.min_p, options.min_keep);
  if (options.top_p_first) scores = top_p();
  scores = keep_top_k(scores, options.top_k, options.min_keep);
  if (!options.top_p_first) scores = top_p();
  if (!options.min_p_first) scores = keep_min_p(scores, options.min_p, options.min_keep);
  return options.untempered ? scores / options.temperature : scores;
}

torch::Tensor pick_tokens(const torch::Tensor& scores, const SamplingOptions& options,
                          const torch::Tensor& uniform) {
  if (options.greedy) return scores.argmax(-1);
  const torch::Tensor probabilities =
      filter_scores(scores.to(torch::kFloat32), options).softmax(-1);  // [R, V]
  // argmax(p / e) with e exponential is a draw from p and, unlike multinomial, needs no word from
  // the device.
  return (probabilities / -uniform.log()).argmax(-1);
}

}  // namespace ttsft
