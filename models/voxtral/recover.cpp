// Codes behind the rows of a preset voice (specification section 9.2).
#include "models/voxtral/voices.h"
#include "ttsft/nn/weights.h"

namespace ttsft::voxtral {
namespace {

constexpr double kRounding = 4e-3;  // of a row's length, that bfloat16 may take from it
constexpr int kMostPasses = 50;     // over the codebooks; it ends when nothing changes

}  // namespace

CodeRecovery::CodeRecovery(const torch::Tensor& table, const Config& config)
    : codebooks_(config.codec.acoustic_dim), entries_(config.codec.levels + kSpecials) {
  const torch::Tensor all = table.to(torch::kFloat64);
  semantic_ = all.narrow(0, kSpecials, config.codec.semantic_codes);
  acoustic_ = all.narrow(0, config.row_of(1), codebooks_ * entries_);
  // What the acoustic rows cannot say is the semantic row's alone.
  const auto [u, s, v] = at::linalg_svd(acoustic_, /*full_matrices=*/false);
  span_ = v.index_select(0, (s > s[0] * 1e-10).nonzero().flatten());
  semantic_beside_ = beside(semantic_);
  inverse_ = at::linalg_pinv(acoustic_);
}

torch::Tensor CodeRecovery::beside(const torch::Tensor& x) const {
  return x - x.mm(span_.t()).mm(span_);
}

RecoveredCodes CodeRecovery::operator()(const torch::Tensor& rows) const {
  const int64_t frames = rows.size(0) - 1;
  const torch::Tensor wanted = rows.narrow(0, 0, frames).to(torch::kFloat64);
  const torch::Tensor first = torch::cdist(beside(wanted), semantic_beside_).argmin(1);  // [N]
  const torch::Tensor rest = wanted - semantic_.index_select(0, first);

  // Least squares of the one-hots, then the best entry of each codebook given the others.
  torch::Tensor chosen =
      rest.mm(inverse_).view({frames, codebooks_, entries_}).argmax(2);  // [N, 36]
  const torch::Tensor offset = torch::arange(codebooks_, torch::kInt64) * entries_;
  torch::Tensor left = rest - acoustic_.index_select(0, (chosen + offset).flatten())
                                  .view({frames, codebooks_, -1})
                                  .sum(1);  // [N, D]
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const torch::Tensor before = chosen.clone();
    for (int64_t k = 0; k < codebooks_; ++k) {
      const torch::Tensor own = acoustic_.narrow(0, k * entries_, entries_);
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

CodeRecovery code_recovery(const std::filesystem::path& checkpoint, const Config& config) {
  const auto weights = open_weights(checkpoint);
  return CodeRecovery(copy_tensor(weights->at(kCodebookTable)), config);
}

}  // namespace ttsft::voxtral
