#include "ttsft/nn/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace ttsft {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr double kNotYet = -1e9;  // of beams that equal the first one at the start

// x [B, M, L], which [B, N] -> [B, N, L]
torch::Tensor pick_rows(const torch::Tensor& x, const torch::Tensor& which) {
  return x.gather(1, which.unsqueeze(-1).expand({-1, -1, x.size(2)}));
}

}  // namespace

BeamSearch::BeamSearch(const BeamOptions& options, int64_t texts, int64_t capacity,
                       torch::Device device)
    : options_(options), texts_(texts) {
  if (options.beams < 1 || texts < 1 || capacity < 1)
    throw std::logic_error("BeamSearch: beams, texts and capacity must be at least 1");
  const int64_t beams = options.beams;
  const auto real = torch::TensorOptions().device(device).dtype(torch::kFloat32);
  const auto whole = real.dtype(torch::kInt64);
  beam_scores_ = torch::full({texts, beams}, kNotYet, real);
  beam_scores_.select(1, 0).zero_();
  tokens_ = torch::zeros({texts, beams, capacity}, whole);
  closed_scores_ = torch::full({texts, beams}, kNone, real);
  closed_lengths_ = torch::zeros({texts, beams}, whole);
  closed_tokens_ = torch::zeros({texts, beams, capacity}, whole);
  finished_ = torch::zeros({texts}, real.dtype(torch::kBool));
}

torch::Tensor BeamSearch::lengthwise(const torch::Tensor& scores, int64_t tokens) const {
  return scores / std::pow(static_cast<double>(tokens), options_.length_penalty);
}

// Indices of the candidates among the B x (N V) scores, best first. Two per beam: at most half of
// them are end tokens.
torch::Tensor BeamSearch::candidates(const torch::Tensor& scores,
                                     std::vector<torch::Generator>& generators) {
  const int64_t count = std::min(2 * options_.beams, scores.size(1));
  if (!options_.sample) return std::get<1>(scores.topk(count, 1));
  // The largest of p / e, e exponential, are draws from p without replacement; torch.multinomial
  // does the same.
  torch::Tensor noise = torch::empty_like(scores);
  for (int64_t text = 0; text < texts_; ++text)
    noise[text].exponential_(1.0, generators.at(static_cast<size_t>(text)));
  const torch::Tensor drawn = std::get<1>(scores.softmax(1).div_(noise).topk(count, 1));
  const torch::Tensor order = scores.gather(1, drawn).argsort(/*stable=*/true, 1, true);
  return drawn.gather(1, order);
}

BeamSearch::Step BeamSearch::advance(const torch::Tensor& scores,
                                     std::vector<torch::Generator>& generators) {
  const int64_t beams = options_.beams, vocabulary = scores.size(1);
  if (steps_ >= tokens_.size(2)) throw std::logic_error("BeamSearch: more steps than capacity");
  const torch::Tensor sums =
      (scores.view({texts_, beams, vocabulary}) + beam_scores_.unsqueeze(-1)).flatten(1);
  const torch::Tensor chosen = candidates(sums, generators);  // [B, M]
  const torch::Tensor value = sums.gather(1, chosen);
  const torch::Tensor beam = chosen.div(vocabulary, "floor");
  const torch::Tensor token = chosen.remainder(vocabulary);
  const torch::Tensor ends = token == options_.end_token;
  const int64_t now = steps_ + 1;  // tokens of whatever is made in this step

  // Hypotheses that close, and the ones closed before: the best N stay, of equals the earlier.
  const torch::Tensor closing =
      lengthwise(value, now).masked_fill(~ends, kNone).narrow(1, 0, beams);
  const torch::Tensor all_scores = torch::cat({closed_scores_, closing}, 1);  // [B, 2N]
  const torch::Tensor keep =
      all_scores.argsort(/*stable=*/true, 1, /*descending=*/true).narrow(1, 0, beams);
  const torch::Tensor all_lengths =
      torch::cat({closed_lengths_, torch::full_like(closed_lengths_, steps_)}, 1);
  const torch::Tensor all_tokens =
      torch::cat({closed_tokens_, pick_rows(tokens_, beam.narrow(1, 0, beams))}, 1);
  const torch::Tensor open = ~finished_.unsqueeze(1);  // [B, 1]
  closed_lengths_ = torch::where(open, all_lengths.gather(1, keep), closed_lengths_);
  closed_tokens_ = torch::where(open.unsqueeze(2), pick_rows(all_tokens, keep), closed_tokens_);
  closed_scores_ = torch::where(open, all_scores.gather(1, keep), closed_scores_);

  // The first N candidates that do not end go on.
  const torch::Tensor on =
      ends.to(torch::kInt64).argsort(/*stable=*/true, 1, /*descending=*/false).narrow(1, 0, beams);
  const torch::Tensor rows = beam.gather(1, on), next = token.gather(1, on);  // [B, N]
  beam_scores_ = value.gather(1, on);
  tokens_ = pick_rows(tokens_, rows);
  tokens_.select(2, steps_).copy_(next);

  const torch::Tensor worst = closed_scores_.select(1, beams - 1);
  const torch::Tensor attainable = lengthwise(std::get<0>(value.max(1)), now);
  finished_ = finished_ | ((worst > kNone) & (worst >= attainable));
  steps_ = now;
  const torch::Tensor first =
      torch::arange(texts_, rows.options()).unsqueeze(1) * beams;  // row of each text's beam 0
  return {next.flatten(), (rows + first).flatten()};
}

std::vector<torch::Tensor> BeamSearch::best() const {
  const torch::Tensor running = lengthwise(beam_scores_, std::max<int64_t>(steps_, 1))
                                    .masked_fill(finished_.unsqueeze(1), kNone);
  const torch::Tensor winner = torch::cat({closed_scores_, running}, 1).argmax(1, true);  // [B, 1]
  const torch::Tensor lengths =
      torch::cat({closed_lengths_, torch::full_like(closed_lengths_, steps_)}, 1)
          .gather(1, winner)
          .to(torch::kCPU);
  const torch::Tensor tokens =
      pick_rows(torch::cat({closed_tokens_, tokens_}, 1), winner).select(1, 0).to(torch::kCPU);
  std::vector<torch::Tensor> result;
  for (int64_t text = 0; text < texts_; ++text) {
    const int64_t length = lengths[text][0].item<int64_t>();
    result.push_back(tokens[text].narrow(0, 0, length).contiguous());
  }
  return result;
}

}  // namespace ttsft
