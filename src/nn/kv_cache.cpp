#include "ttsft/nn/kv_cache.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace ttsft {
namespace {

// Capacity grows in tiers, and a GPU looks at whole tiers of keys: few different shapes to plan for.
constexpr int64_t kTier = 256;

int64_t round_up(int64_t value) {
  return (value + kTier - 1) / kTier * kTier;
}

}  // namespace

KvCache::KvCache(int64_t layers, int64_t rows, int64_t kv_heads, int64_t capacity, int64_t head_dim,
                 torch::TensorOptions options)
    : rows_(rows), kv_heads_(kv_heads), head_dim_(head_dim), capacity_(capacity) {
  for (int64_t i = 0; i < layers; ++i) {
    // Zeros: what lies behind a short row is masked, and no mask makes a number of 0 x NaN.
    const auto buffer = [&] { return torch::zeros({rows, capacity, kv_heads, head_dim}, options); };
    layers_.push_back({buffer(), buffer(), {}, {}});
  }
  lengths_ = torch::zeros({rows}, options.dtype(torch::kInt64));
  row_index_ = torch::arange(rows, lengths_.options());
  learn(std::vector<int64_t>(static_cast<size_t>(rows), 0));
}

void KvCache::learn(std::vector<int64_t> lengths) {
  lengths_on_host_ = std::move(lengths);
  longest_ = 0;
  level_ = true;
  for (const int64_t length : lengths_on_host_) {
    longest_ = std::max(longest_, length);
    level_ = level_ && length == lengths_on_host_.front();
  }
}

void KvCache::reserve(int64_t positions) {
  if (positions <= capacity_) return;
  capacity_ = round_up(positions);
  spared_ = -1;
  for (Layer& layer : layers_) {
    layer.spare_k = layer.spare_v = torch::Tensor();
    for (torch::Tensor* stored : {&layer.k, &layer.v}) {
      torch::Tensor larger =
          torch::zeros({rows_, capacity_, kv_heads_, head_dim_}, stored->options());
      larger.narrow(1, 0, longest_).copy_(stored->narrow(1, 0, longest_));
      *stored = larger;
    }
  }
}

KvCache::Step KvCache::open(int64_t time, int64_t window) {
  reserve(longest_ + time);
  Step step;
  step.time = time;
  step.first = longest_;
  step.causal = longest_ == 0 && time > 1;
  const auto whole = lengths_.options();
  const torch::Tensor offset = torch::arange(time, whole);  // [T]
  torch::Tensor places;                                     // [rows or 1, T]
  if (level_) {
    places = (offset + longest_).unsqueeze(0);
  } else {
    step.positions = lengths_.unsqueeze(1) + offset;
    step.rows = (row_index_.unsqueeze(1) * capacity_ + step.positions).flatten();
    places = step.positions;
  }
  step.keys = longest_ + time;
  if (!level_ && lengths_.is_cuda()) step.keys = std::min(round_up(step.keys), capacity_);
  const bool windowed = window > 0 && step.keys > window;
  // One new position sees all that is stored; the first ones see each other causally.
  if (!windowed && (step.causal || longest_ == 0 || (level_ && time == 1))) return step;
  const torch::Tensor distance =
      places.unsqueeze(2) - torch::arange(step.keys, whole);  // [rows or 1, T, keys]
  torch::Tensor visible = distance >= 0;
  if (windowed) visible = visible & (distance < window);
  step.mask = visible.unsqueeze(1);
  step.causal = false;
  return step;
}

std::pair<torch::Tensor, torch::Tensor> KvCache::write(const Step& step, int64_t layer,
                                                       const torch::Tensor& k,
                                                       const torch::Tensor& v) {
  Layer& stored = layers_.at(static_cast<size_t>(layer));
  for (const auto& [buffer, given] : {std::pair{&stored.k, &k}, std::pair{&stored.v, &v}}) {
    const torch::Tensor rows = given->transpose(1, 2);  // [rows, T, kv_heads, head_dim]
    if (step.rows.defined()) {
      buffer->view({rows_ * capacity_, kv_heads_, head_dim_})
          .index_copy_(0, step.rows, rows.reshape({-1, kv_heads_, head_dim_}));
    } else {
      buffer->narrow(1, step.first, step.time).copy_(rows);
    }
  }
  if (longest_ == 0) return {k, v};
  return {stored.k.narrow(1, 0, step.keys).transpose(1, 2),
          stored.v.narrow(1, 0, step.keys).transpose(1, 2)};
}

void KvCache::advance(int64_t time) {
  lengths_ = lengths_ + time;
  for (int64_t& length : lengths_on_host_) length += time;
  longest_ += time;
}

void KvCache::advance(const std::vector<int64_t>& used) {
  lengths_ = lengths_ + torch::tensor(used, torch::kInt64).to(lengths_.device());
  std::vector<int64_t> lengths = lengths_on_host_;
  for (size_t row = 0; row < lengths.size(); ++row) lengths[row] += used.at(row);
  learn(std::move(lengths));
}

void KvCache::reset() {
  lengths_ = torch::zeros_like(lengths_);
  learn(std::vector<int64_t>(static_cast<size_t>(rows_), 0));
}

void KvCache::keep(const std::vector<int64_t>& rows) {
  const torch::Tensor index = torch::tensor(rows, torch::kInt64).to(lengths_.device());
  std::vector<int64_t> lengths;
  for (const int64_t row : rows) lengths.push_back(lengths_on_host_.at(static_cast<size_t>(row)));
  spared_ = -1;
  for (Layer& layer : layers_) {
    layer.spare_k = layer.spare_v = torch::Tensor();
    for (torch::Tensor* stored : {&layer.k, &layer.v}) *stored = stored->index_select(0, index);
  }
  lengths_ = lengths_.index_select(0, index);
  rows_ = std::ssize(rows);
  row_index_ = torch::arange(rows_, lengths_.options());
  learn(std::move(lengths));
}

void KvCache::permute(const torch::Tensor& rows, int64_t shared) {
  // What all rows that change places agree in is copied into the spare buffers once.
  const int64_t settled = spared_ < 0 ? 0 : std::min(spared_, shared);
  for (Layer& layer : layers_) {
    for (const auto& [stored, spare] :
         {std::pair{&layer.k, &layer.spare_k}, std::pair{&layer.v, &layer.spare_v}}) {
      if (!spare->defined()) *spare = torch::zeros_like(*stored);
      torch::Tensor target = spare->narrow(1, settled, longest_ - settled);
      at::index_out(target, stored->narrow(1, settled, longest_ - settled),
                    {std::optional<torch::Tensor>(rows)});
      std::swap(*stored, *spare);
    }
  }
  spared_ = shared;
}

void KvCache::join(KvCache&& other) {
  const int64_t capacity = round_up(std::max(capacity_, other.capacity_));
  reserve(capacity);
  other.reserve(capacity);
  spared_ = -1;
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].k = torch::cat({layers_[i].k, other.layers_[i].k});
    layers_[i].v = torch::cat({layers_[i].v, other.layers_[i].v});
    layers_[i].spare_k = layers_[i].spare_v = torch::Tensor();
  }
  lengths_ = torch::cat({lengths_, other.lengths_});
  rows_ += other.rows_;
  row_index_ = torch::arange(rows_, lengths_.options());
  std::vector<int64_t> lengths = lengths_on_host_;
  lengths.insert(lengths.end(), other.lengths_on_host_.begin(), other.lengths_on_host_.end());
  learn(std::move(lengths));
}

}  // namespace ttsft
