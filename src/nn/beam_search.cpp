#include "ttsft/nn/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace ttsft {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr int64_t kFrames = 256;  // room for tokens grows by so many
constexpr double kNotYet = -1e9;  // of beams that equal the first one at the start

// x [B, M, L], which [B, N] -> [B, N, L]
torch::Tensor pick_rows(const torch::Tensor& x, const torch::Tensor& which) {
  return x.gather(1, which.unsqueeze(-1).expand({-1, -1, x.size(2)}));
}

}  // namespace

BeamSearch::BeamSearch(const BeamOptions& options, int64_t texts, torch::Device device)
    : options_(options), texts_(texts) {
  if (options.beams < 1 || texts < 1)
    throw std::logic_error("BeamSearch: beams and texts must be at least 1");
  const int64_t beams = options.beams;
  const auto real = torch::TensorOptions().device(device).dtype(torch::kFloat32);
  const auto whole = real.dtype(torch::kInt64);
  steps_ = torch::zeros({texts}, whole);
  beam_scores_ = torch::full({texts, beams}, kNotYet, real);
  beam_scores_.select(1, 0).zero_();
  tokens_ = torch::zeros({texts, beams, kFrames}, whole);
  closed_scores_ = torch::full({texts, beams}, kNone, real);
  closed_lengths_ = torch::zeros({texts, beams}, whole);
  closed_tokens_ = torch::zeros({texts, beams, kFrames}, whole);
  finished_ = torch::zeros({texts}, real.dtype(torch::kBool));
}

template <typename Change>
void BeamSearch::each(const Change& change) {
  for (torch::Tensor BeamSearch::*field :
       {&BeamSearch::steps_, &BeamSearch::beam_scores_, &BeamSearch::tokens_,
        &BeamSearch::closed_scores_, &BeamSearch::closed_lengths_, &BeamSearch::closed_tokens_,
        &BeamSearch::finished_})
    this->*field = change(this->*field, field);
}

void BeamSearch::keep(const torch::Tensor& texts, int64_t most) {
  each([&](const torch::Tensor& x, auto) { return x.index_select(0, texts); });
  texts_ = texts.size(0);
  most_ = most;
}

void BeamSearch::join(BeamSearch&& other) {
  const int64_t capacity = std::max(tokens_.size(2), other.tokens_.size(2));
  reserve(capacity);
  other.reserve(capacity);
  each([&](const torch::Tensor& x, auto field) { return torch::cat({x, other.*field}); });
  texts_ += other.texts_;
  most_ = std::max(most_, other.most_);
}

void BeamSearch::reserve(int64_t steps) {
  const int64_t missing = (steps - tokens_.size(2) + kFrames - 1) / kFrames * kFrames;
  if (missing <= 0) return;
  tokens_ = torch::constant_pad_nd(tokens_, {0, missing});
  closed_tokens_ = torch::constant_pad_nd(closed_tokens_, {0, missing});
}

torch::Tensor BeamSearch::lengthwise(const torch::Tensor& scores,
                                     const torch::Tensor& tokens) const {
  return scores / tokens.to(torch::kFloat32).pow(options_.length_penalty);
}

// Indices of the candidates among the B x (N V) scores, best first. Two per beam: at most half of
// them are end tokens.
torch::Tensor BeamSearch::candidates(const torch::Tensor& scores,
                                     const torch::Tensor& uniform) const {
  const int64_t count = std::min(2 * options_.beams, scores.size(1));
  if (!options_.sample) return std::get<1>(scores.topk(count, 1));
  // The largest of p / e, e exponential, are draws from p without replacement; torch.multinomial
  // does the same.
  const torch::Tensor drawn = std::get<1>((scores.softmax(1) / -uniform.log()).topk(count, 1));
  const torch::Tensor order = scores.gather(1, drawn).argsort(/*stable=*/true, 1, true);
  return drawn.gather(1, order);
}

BeamSearch::Step BeamSearch::advance(const torch::Tensor& scores,
                                     const torch::Tensor& uniform) {
  const int64_t beams = options_.beams, vocabulary = scores.size(1);
  reserve(most_ + 1);
  const torch::Tensor sums =
      (scores.view({texts_, beams, vocabulary}) + beam_scores_.unsqueeze(-1)).flatten(1);
  const torch::Tensor chosen = candidates(sums, uniform);  // [B, M]
  const torch::Tensor value = sums.gather(1, chosen);
  const torch::Tensor beam = chosen.div(vocabulary, "floor");
  const torch::Tensor token = chosen.remainder(vocabulary);
  const torch::Tensor ends = token == options_.end_token;
  const torch::Tensor before = steps_.unsqueeze(1), now = before + 1;  // [B, 1], tokens so far

  // Hypotheses that close, and the ones closed before: the best N stay, of equals the earlier.
  const torch::Tensor closing =
      lengthwise(value, now).masked_fill(~ends, kNone).narrow(1, 0, beams);
  const torch::Tensor all_scores = torch::cat({closed_scores_, closing}, 1);  // [B, 2N]
  const torch::Tensor keep =
      all_scores.argsort(/*stable=*/true, 1, /*descending=*/true).narrow(1, 0, beams);
  const torch::Tensor all_lengths =
      torch::cat({closed_lengths_, before.expand_as(closed_lengths_)}, 1);
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
  tokens_.scatter_(2, before.unsqueeze(2).expand({-1, beams, -1}), next.unsqueeze(2));

  const torch::Tensor worst = closed_scores_.select(1, beams - 1);
  const torch::Tensor attainable = lengthwise(value.amax(1, true), now).squeeze(1);
  // A text that is finished counts no further, so that it asks for no more room.
  steps_ = steps_ + (~finished_).to(torch::kInt64);
  finished_ = finished_ | ((worst > kNone) & (worst >= attainable));
  ++most_;
  const torch::Tensor first =
      torch::arange(texts_, rows.options()).unsqueeze(1) * beams;  // row of each text's beam 0
  return {next.flatten(), (rows + first).flatten()};
}

std::vector<torch::Tensor> BeamSearch::best() const {
  const torch::Tensor running = lengthwise(beam_scores_, steps_.clamp_min(1).unsqueeze(1))
                                    .masked_fill(finished_.unsqueeze(1), kNone);
  const torch::Tensor winner = torch::cat({closed_scores_, running}, 1).argmax(1, true);  // [B, 1]
  const torch::Tensor lengths =
      torch::cat({closed_lengths_, steps_.unsqueeze(1).expand_as(closed_lengths_)}, 1)
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
