#include "ttsft/nn/sampling.h"

#include <limits>

namespace ttsft {
namespace {

constexpr double kDropped = -std::numeric_limits<double>::infinity();

torch::Tensor keep_top_k(const torch::Tensor& scores, int64_t k) {
  if (k <= 0 || k >= scores.size(-1)) return scores;
  const torch::Tensor least =
      std::get<0>(scores.topk(k, -1)).narrow(-1, k - 1, 1);  // [B, 1], the k-th largest
  return scores.masked_fill(scores < least, kDropped);
}

// Nucleus sampling (Holtzman et al. 2019), from the small end as Hugging Face does it: ascending
// order, the prefix whose cumulative probability is at most 1 - p goes, the last entry stays.
torch::Tensor keep_top_p(const torch::Tensor& scores, double p) {
  if (p >= 1.0) return scores;
  const auto [sorted, order] = scores.sort(-1, /*descending=*/false);
  torch::Tensor drop = sorted.softmax(-1).cumsum(-1) <= 1.0 - p;
  drop.select(-1, drop.size(-1) - 1).fill_(false);
  return scores.masked_fill(torch::zeros_like(drop).scatter_(-1, order, drop), kDropped);
}

torch::Tensor keep_min_p(const torch::Tensor& scores, double p) {
  if (p <= 0.0) return scores;
  const torch::Tensor probabilities = scores.softmax(-1);
  return scores.masked_fill(probabilities < probabilities.amax(-1, true) * p, kDropped);
}

}  // namespace

void apply_repetition_penalty(torch::Tensor& scores, const torch::Tensor& seen, double penalty) {
  if (penalty == 1.0) return;
  const torch::Tensor punished = torch::where(scores < 0, scores * penalty, scores / penalty);
  scores = torch::where(seen, punished, scores);
}

torch::Tensor filter_scores(torch::Tensor scores, const SamplingOptions& options) {
  scores = scores / options.temperature;
  return keep_min_p(keep_top_p(keep_top_k(scores, options.top_k), options.top_p), options.min_p);
}

torch::Tensor pick_tokens(const torch::Tensor& scores, const SamplingOptions& options,
                          std::vector<torch::Generator>& generators) {
  if (options.greedy) return scores.argmax(-1);
  const torch::Tensor probabilities =
      filter_scores(scores.to(torch::kFloat32), options).softmax(-1);  // [B, V]
  // argmax(p / e) with e exponential is a draw from p and, unlike multinomial, needs no word from
  // the device.
  torch::Tensor noise = torch::empty_like(probabilities);
  for (int64_t row = 0; row < noise.size(0); ++row)
    noise[row].exponential_(1.0, generators.at(row));
  return probabilities.div_(noise).argmax(-1);
}

}  // namespace ttsft
