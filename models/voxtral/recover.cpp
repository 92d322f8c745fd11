// Codes behind the rows of a preset voice (specification section 9.2).
#include "models/voxtral/voices.h"

namespace ttsft::voxtral {
namespace {

constexpr double kRounding = 4e-3;  // of a row's length, that bfloat16 may take from it
constexpr int kMostPasses = 50;     // over the codebooks; it ends when nothing changes

}  // namespace

RecoveredCodes recover_codes(const torch::Tensor& rows, const torch::Tensor& table,
                             const Config& config) {
  const int64_t frames = rows.size(0) - 1, codebooks = config.codec.codebooks();
  const int64_t entries = config.codec.levels + kSpecials;  // rows of an acoustic codebook
  const torch::Tensor wanted = rows.narrow(0, 0, frames).to(torch::kFloat64);
  const torch::Tensor all = table.to(torch::kFloat64);
  const torch::Tensor semantic = all.narrow(0, kSpecials, config.codec.semantic_codes);
  const torch::Tensor acoustic =
      all.narrow(0, config.row_of(1), (codebooks - 1) * entries);  // [36 * 23, D]

  // What the acoustic rows cannot say is the semantic row's alone.
  const auto [u, s, v] = at::linalg_svd(acoustic, /*full_matrices=*/false);
  const torch::Tensor span = v.index_select(0, (s > s[0] * 1e-10).nonzero().flatten());  // [R, D]
  const auto beside = [&](const torch::Tensor& x) { return x - x.mm(span.t()).mm(span); };
  const torch::Tensor first = torch::cdist(beside(wanted), beside(semantic)).argmin(1);  // [N]
  const torch::Tensor rest = wanted - semantic.index_select(0, first);

  // Least squares of the one-hots, then the best entry of each codebook given the others.
  const torch::Tensor guess =
      rest.mm(at::linalg_pinv(acoustic)).view({frames, codebooks - 1, entries});
  torch::Tensor chosen = guess.argmax(2);  // [N, 36]
  const torch::Tensor offset = torch::arange(codebooks - 1, torch::kInt64) * entries;
  const auto sum_of = [&](const torch::Tensor& picked) {
    return acoustic.index_select(0, (picked + offset).flatten())
        .view({frames, codebooks - 1, -1})
        .sum(1);
  };
  torch::Tensor left = rest - sum_of(chosen);  // [N, D]
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const torch::Tensor before = chosen.clone();
    for (int64_t k = 0; k < codebooks - 1; ++k) {
      const torch::Tensor own = acoustic.narrow(0, k * entries, entries);
      const torch::Tensor without = left + own.index_select(0, chosen.select(1, k));
      const torch::Tensor best = torch::cdist(without, own).argmin(1);
      chosen.select(1, k).copy_(best);
      left = without - own.index_select(0, best);
    }
    if (torch::equal(before, chosen)) break;
  }
  RecoveredCodes found;
  found.codes = torch::cat({first.unsqueeze(1), chosen - kSpecials}, 1);
  found.residual = left.norm(2, 1) / wanted.norm(2, 1);
  // The two rows of no sound are no codes: a voice that holds them is not what it is taken for.
  found.exact = frames > 0 && found.residual.max().item<double>() <= kRounding &&
                found.codes.min().item<int64_t>() >= 0;
  return found;
}

}  // namespace ttsft::voxtral
