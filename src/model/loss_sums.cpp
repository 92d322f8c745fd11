#include "ttsft/model/loss_sums.h"

#include <stdexcept>

namespace ttsft {
namespace {

// Sums of the rows of `values` [N, C] that belong to the same batch row: [rows, C]. In float64, so
// that the order in which a GPU adds does not show.
torch::Tensor sum_by_row(const torch::Tensor& values, const torch::Tensor& row, int64_t rows) {
  torch::Tensor sums =
      torch::zeros({rows, values.size(1)}, values.options().dtype(torch::kFloat64));
  return sums.index_add_(0, row, values.to(torch::kFloat64));
}

torch::Tensor as_columns(const torch::Tensor& values) {
  return values.dim() == 1 ? values.unsqueeze(1) : values;
}

// One row of a part on the CPU, added to what is already known of the term.
void add_row(TermTotals& totals, double weight, bool codebooks, const torch::Tensor& sum,
             const torch::Tensor& correct, double positions) {
  const int64_t columns = sum.size(0);
  totals.weight = weight;
  totals.tokens += positions * static_cast<double>(columns);
  totals.tokens_per_codebook += codebooks ? positions : 0;
  const auto losses = sum.accessor<double, 1>();
  for (int64_t c = 0; c < columns; ++c) totals.sum += losses[c];
  if (codebooks) {
    totals.sum_per_codebook.resize(static_cast<size_t>(columns), 0.0);
    for (int64_t c = 0; c < columns; ++c) {
      totals.sum_per_codebook[static_cast<size_t>(c)] += losses[c];
    }
  }
  if (!correct.defined()) return;
  const auto hits = correct.accessor<double, 1>();
  int64_t all = totals.correct.value_or(0);
  for (int64_t c = 0; c < columns; ++c) all += static_cast<int64_t>(hits[c]);
  totals.correct = all;
  if (!codebooks) return;
  totals.correct_per_codebook.resize(static_cast<size_t>(columns), 0);
  for (int64_t c = 0; c < columns; ++c) {
    totals.correct_per_codebook[static_cast<size_t>(c)] += static_cast<int64_t>(hits[c]);
  }
}

}  // namespace

double LossTotals::loss() const {
  double sum = 0;
  for (const auto& [name, term] : terms) sum += term.weight * term.mean();
  return sum;
}

void LossSums::add(const Batch& batch, const std::vector<LossTerm>& terms) {
  torch::NoGradGuard no_grad;
  const auto rows = static_cast<int64_t>(batch.ids.size());
  for (const LossTerm& term : terms) {
    if (term.row.size(0) != term.value.size(0)) {
      throw std::logic_error("loss term " + term.name + " does not say which row each token is of");
    }
    const torch::Tensor values = as_columns(term.value.detach());
    const torch::Tensor row = term.row.to(values.device());
    Part part{batch.ids, term.name, term.weight,          sum_by_row(values, row, rows),
              {},        {},        term.value.dim() == 2};
    if (term.correct.defined()) part.correct = sum_by_row(as_columns(term.correct), row, rows);
    const torch::Tensor share = term.share.defined()
                                    ? term.share.to(values.device()).unsqueeze(1)
                                    : torch::ones({values.size(0), 1}, values.options());
    part.tokens = sum_by_row(share, row, rows).squeeze(1);
    parts_.push_back(std::move(part));
  }
}

LossTotals LossSums::totals() const {
  LossTotals totals;
  for (const Part& part : parts_) {
    const torch::Tensor correct =
        part.correct.defined() ? part.correct.sum(0).to(torch::kCPU) : torch::Tensor();
    add_row(totals.terms[part.term], part.weight, part.codebooks, part.sum.sum(0).to(torch::kCPU),
            correct, part.tokens.sum().item<double>());
  }
  return totals;
}

std::map<std::string, LossTotals> LossSums::utterances() const {
  std::map<std::string, LossTotals> by_id;
  for (const Part& part : parts_) {
    const torch::Tensor sum = part.sum.to(torch::kCPU), tokens = part.tokens.to(torch::kCPU);
    const torch::Tensor correct =
        part.correct.defined() ? part.correct.to(torch::kCPU) : torch::Tensor();
    const auto positions = tokens.accessor<double, 1>();
    for (size_t r = 0; r < part.ids.size(); ++r) {
      const auto i = static_cast<int64_t>(r);
      add_row(by_id[part.ids[r]].terms[part.term], part.weight, part.codebooks, sum[i],
              correct.defined() ? correct[i] : torch::Tensor(), positions[i]);
    }
  }
  return by_id;
}

}  // namespace ttsft
