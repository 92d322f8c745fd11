#include "ttsft/nn/token_track.h"

namespace ttsft {
namespace {

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

}  // namespace

void TokenTrack::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor : {&ids, &offset, &position, &label, &label_position, &label_row})
    visit(*tensor);
}

int64_t TokenTrackBuilder::add(std::span<const int64_t> inputs, int64_t place, int64_t row,
                               std::optional<int64_t> last, bool with_labels) {
  for (size_t i = 0; i < inputs.size(); ++i, ++place) {
    ids_.push_back(inputs[i]);
    offset_.push_back(static_cast<int64_t>(i));
    position_.push_back(place);
    const bool ends = i + 1 == inputs.size();
    if (!with_labels || (ends && !last)) continue;
    label_.push_back(ends ? *last : inputs[i + 1]);
    label_position_.push_back(place);
    label_row_.push_back(row);
  }
  return place;
}

TokenTrack TokenTrackBuilder::build() const {
  return {long_tensor(ids_),   long_tensor(offset_),         long_tensor(position_),
          long_tensor(label_), long_tensor(label_position_), long_tensor(label_row_)};
}

}  // namespace ttsft
