#include "ttsft/codec/rvq.h"

#include <algorithm>
#include <limits>

namespace ttsft {

namespace {

constexpr double kSmallestUsage = 1e-5;
constexpr int64_t kRowsPerSearch = 8192;  // bounds the [rows, K] table of distances

// Rounding of v.v - 2 v.e + e.e in float32, relative to v.v + e.e: 2^-24 for each of the three
// terms and what a sum over D products of mixed order adds; a generous bound only costs rechecks.
constexpr float kDistanceError = 1e-5f;

// The exact distance of each candidate pair (row of v, row of the table), in double.
torch::Tensor exact_distances(const torch::Tensor& vectors, const torch::Tensor& table,
                              const torch::Tensor& rows, const torch::Tensor& codes) {
  std::vector<torch::Tensor> parts;
  for (int64_t first = 0; first < rows.size(0); first += kRowsPerSearch) {
    const int64_t count = std::min(kRowsPerSearch, rows.size(0) - first);
    const torch::Tensor v = vectors.index_select(0, rows.narrow(0, first, count));
    const torch::Tensor e = table.index_select(0, codes.narrow(0, first, count));
    parts.push_back((v.to(torch::kFloat64) - e.to(torch::kFloat64)).square_().sum(-1));
  }
  return torch::cat(parts);
}

// Rewrites best[row] for the rows that have several candidates.
void settle_near_ties(torch::Tensor& best, const torch::Tensor& vectors, const torch::Tensor& table,
                      const torch::Tensor& near) {
  const torch::Tensor contested = near.sum(-1).gt(1);  // [N]
  const torch::Tensor pairs = (near & contested.unsqueeze(-1)).nonzero();
  if (pairs.size(0) == 0) return;
  const torch::Tensor rows = pairs.select(1, 0).contiguous();
  const torch::Tensor codes = pairs.select(1, 1).contiguous();
  const torch::Tensor distances = exact_distances(vectors, table, rows, codes);
  const torch::Tensor least =
      torch::full({vectors.size(0)}, std::numeric_limits<double>::max(), distances.options())
          .scatter_reduce_(0, rows, distances, "amin");
  // Of the pairs that reach their row's least distance, the lowest code.
  const torch::Tensor winners = distances.eq(least.index_select(0, rows)).nonzero().squeeze(-1);
  const torch::Tensor first = torch::full({vectors.size(0)}, table.size(0), codes.options())
                                  .scatter_reduce_(0, rows.index_select(0, winners),
                                                   codes.index_select(0, winners), "amin");
  best = torch::where(contested, first, best);
}

torch::Tensor nearest_in_block(const torch::Tensor& vectors, const torch::Tensor& table,
                               const torch::Tensor& norms) {
  const torch::Tensor own = vectors.square().sum(-1, /*keepdim=*/true);  // [N, 1]
  const torch::Tensor distances =
      torch::addmm(norms, vectors, table.t(), /*beta=*/1, /*alpha=*/-2).add_(own);  // [N, K]
  auto [least, best] = distances.min(-1, /*keepdim=*/true);
  const torch::Tensor error =
      (own + norms.index_select(0, best.squeeze(-1)).unsqueeze(-1)).mul_(kDistanceError);
  best = best.squeeze(-1);
  settle_near_ties(best, vectors, table, distances.le(least + error));
  return best;
}

}  // namespace

torch::Tensor row_norms(const torch::Tensor& table) {
  return table.square().sum(-1);
}

torch::Tensor nearest_rows(const torch::Tensor& vectors, const torch::Tensor& table,
                           const torch::Tensor& squared_norms) {
  if (vectors.size(0) <= kRowsPerSearch) return nearest_in_block(vectors, table, squared_norms);
  std::vector<torch::Tensor> parts;
  for (const torch::Tensor& block : vectors.split(kRowsPerSearch)) {
    parts.push_back(nearest_in_block(block, table, squared_norms));
  }
  return torch::cat(parts);
}

EmaCodebookImpl::EmaCodebookImpl(int64_t size, int64_t dim, const CodebookNames& names) {
  sum_ = register_buffer(names.sum, torch::empty({size, dim}));
  usage_ = register_buffer(names.usage, torch::empty({size}));
}

void EmaCodebookImpl::compute() {
  if (table_.defined() && table_.device() == sum_.device()) return;
  // They outlive the call that needed them first: they must not be of a kind that autograd refuses.
  const c10::InferenceMode normal(false);
  const torch::NoGradGuard no_gradients;
  const torch::Tensor usage = usage_.to(torch::kFloat32).clamp_min(kSmallestUsage);
  table_ = (sum_.to(torch::kFloat32) / usage.unsqueeze(-1)).contiguous();
  norms_ = row_norms(table_);
}

const torch::Tensor& EmaCodebookImpl::table() {
  compute();
  return table_;
}

const torch::Tensor& EmaCodebookImpl::squared_norms() {
  compute();
  return norms_;
}

ResidualQuantizerImpl::ResidualQuantizerImpl(const RvqOptions& options) : options_(options) {
  ModuleGroup levels;
  for (int64_t i = 0; i < options.levels; ++i) {
    codebooks_.push_back(EmaCodebook(options.codebook_size, options.codebook_dim, options.names));
    levels->add(i, ModuleGroup())->add(options.codebook, codebooks_.back());
  }
  // Wrapped from the inside out: layers {"vq", "layers"} is the child vq that holds the child
  // layers.
  for (size_t i = options.layers.size(); i-- > 1;) {
    ModuleGroup outer;
    outer->add(options.layers[i], levels);
    levels = outer;
  }
  register_module(options.layers.front(), levels);
  const auto projection = [](int64_t in, int64_t out) {
    return Conv1d(ConvOptions{.in = in, .out = out, .bias = false});
  };
  if (options.input_proj) {
    input_proj = register_module("input_proj", projection(options.channels, options.codebook_dim));
  }
  if (options.output_proj) {
    output_proj =
        register_module("output_proj", projection(options.codebook_dim, options.channels));
  }
}

torch::Tensor ResidualQuantizerImpl::encode(const torch::Tensor& x) {
  c10::InferenceMode guard;
  torch::Tensor rest = x.to(torch::kFloat32);
  if (input_proj) rest = torch::linear(rest, input_proj->weight.squeeze(-1));  // [N, D]
  std::vector<torch::Tensor> codes;
  for (size_t level = 0; level < codebooks_.size(); ++level) {
    const torch::Tensor& table = codebooks_[level]->table();
    codes.push_back(nearest_rows(rest, table, codebooks_[level]->squared_norms()));
    if (level + 1 < codebooks_.size()) rest = rest - table.index_select(0, codes.back());
  }
  return torch::stack(codes, -1);
}

torch::Tensor ResidualQuantizerImpl::decode(const torch::Tensor& codes) {
  torch::Tensor sum;  // [.., D]
  for (size_t level = 0; level < codebooks_.size(); ++level) {
    const torch::Tensor entries =
        torch::embedding(codebooks_[level]->table(), codes.select(-1, static_cast<int64_t>(level)));
    sum = level == 0 ? entries : sum + entries;
  }
  return output_proj ? torch::linear(sum, output_proj->weight.squeeze(-1)) : sum;
}

}  // namespace ttsft
