#include "ttsft/nn/rows.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <tuple>

namespace ttsft {

struct Rows::State {
  RowLengths lengths;
  torch::Tensor counts;                     // [B] int64
  std::map<int64_t, torch::Tensor> beyond;  // by time: bool [B, time]
  std::map<std::tuple<int64_t, int64_t, int64_t, bool>, torch::Tensor>
      sources;  // of pads, [B, 1, T']
  std::map<std::pair<int64_t, int64_t>, Rows> scaled;

  torch::Tensor places(int64_t from, int64_t to) const {
    return torch::arange(from, to, counts.options());
  }
  const torch::Tensor& behind(int64_t time) {
    torch::Tensor& mask = beyond[time];
    if (!mask.defined()) mask = places(0, time).ge(counts.unsqueeze(1));
    return mask;
  }
};

Rows::Rows(const RowLengths& lengths, int64_t time, torch::Device device) {
  if (std::all_of(lengths.begin(), lengths.end(), [&](int64_t n) { return n >= time; })) return;
  state_ = std::make_shared<State>();
  state_->lengths = lengths;
  state_->counts = torch::tensor(lengths, torch::kInt64).to(device);
}

const RowLengths& Rows::lengths() const {
  return state_->lengths;
}

Rows Rows::scaled(int64_t factor, int64_t more) const {
  if (!state_) return {};
  Rows& rows = state_->scaled[{factor, more}];
  if (!rows.state_) {
    rows.state_ = std::make_shared<State>();
    for (const int64_t n : state_->lengths) rows.state_->lengths.push_back(n * factor + more);
    rows.state_->counts = state_->counts * factor + more;
  }
  return rows;
}

torch::Tensor Rows::real(int64_t time) const {
  return state_ ? state_->behind(time).logical_not() : torch::Tensor();
}

torch::Tensor Rows::zero_(torch::Tensor x) const {
  if (!state_) return x;
  torch::Tensor mask = state_->behind(x.size(-1));
  while (mask.dim() < x.dim()) mask = mask.unsqueeze(1);
  return x.masked_fill_(mask, 0);
}

torch::Tensor Rows::padded(const torch::Tensor& x, int64_t left, int64_t right,
                           bool reflect) const {
  const int64_t time = x.size(-1);
  torch::Tensor& source = state_->sources[{time, left, right, reflect}];
  if (!source.defined()) {
    const torch::Tensor last = (state_->counts - 1).unsqueeze(1);  // [B, 1]
    torch::Tensor place = state_->places(-left, time + right);
    if (reflect) place = place.abs();
    place = place.unsqueeze(0).expand({last.size(0), -1});
    place = reflect ? torch::minimum(place, 2 * last - place) : torch::minimum(place, last);
    source = place.clamp_min(0).unsqueeze(1);
  }
  return x.gather(-1, source.expand({-1, x.size(1), -1}));
}

torch::Tensor Rows::pad_replicate(const torch::Tensor& x, int64_t left, int64_t right) const {
  return state_ ? padded(x, left, right, false) : torch::replication_pad1d(x, {left, right});
}

torch::Tensor Rows::pad_reflect(const torch::Tensor& x, int64_t left, int64_t right) const {
  return state_ ? padded(x, left, right, true) : torch::reflection_pad1d(x, {left, right});
}

void zero_beyond_(torch::Tensor& x, const RowLengths& lengths) {
  if (std::ssize(lengths) != x.size(0)) {
    throw std::logic_error("zero_beyond_: " + std::to_string(lengths.size()) + " lengths for " +
                           std::to_string(x.size(0)) + " rows");
  }
  Rows(lengths, x.size(-1), x.device()).zero_(x);
}

}  // namespace ttsft
