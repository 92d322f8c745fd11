#include "src/prep/encode.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdio>

#include "ttsft/core/error.h"
#include "ttsft/core/signals.h"

namespace ttsft {

std::vector<std::vector<Clip*>> cut_batches(std::vector<Clip*> clips, const Preparer& preparer) {
  std::vector<std::pair<int64_t, Clip*>> sorted;
  sorted.reserve(clips.size());
  for (Clip* clip : clips) sorted.emplace_back(preparer.length(clip->item), clip);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const int64_t budget = preparer.batch_budget();
  std::vector<std::vector<Clip*>> batches;
  int64_t longest = 0;
  for (const auto& [length, clip] : sorted) {
    const bool fits =
        !batches.empty() && longest * static_cast<int64_t>(batches.back().size() + 1) <= budget;
    if (!fits) {
      batches.emplace_back();
      longest = length;
    }
    batches.back().push_back(clip);
  }
  return batches;
}

void Encoder::encode(const std::vector<Clip*>& clips,
                     const std::function<void(const Clip&)>& done) {
  const torch::InferenceMode no_gradients;
  for (const std::vector<Clip*>& batch : cut_batches(clips, preparer_)) {
    if (stop_signal() != 0) return;
    const auto start = std::chrono::steady_clock::now();
    std::vector<PrepItem*> items;
    items.reserve(batch.size());
    for (Clip* clip : batch) items.push_back(&clip->item);
    encode_batch(items);
    spent_ += std::chrono::steady_clock::now() - start;
    ++batches_;
    for (Clip* clip : batch) {
      const PrepItem& item = clip->item;
      audio_seconds_ += item.seconds;
      if (!item.refused.empty()) {
        clip->refused = item.refused;
        clip->guard = "model";
      } else {
        writer_.add({item.utterance->id, clip->key, item.seconds, item.row, clip->notes});
      }
      done(*clip);
      clip->item.wave = {};
      clip->item.row = {};
    }
  }
}

// A row that breaks its batch must not cost its neighbours: then each is tried alone.
void Encoder::encode_batch(std::span<PrepItem*> items) {
  try {
    preparer_.encode(items);
  } catch (const DataError& error) {
    if (items.size() == 1) {
      items.front()->refused = error.what();
      return;
    }
    for (size_t i = 0; i < items.size(); ++i) encode_batch(items.subspan(i, 1));
  }
}

std::string Encoder::speed() const {
  if (!(spent_.count() > 0)) return {};
  char text[48];
  std::snprintf(text, sizeof(text), "%.1f s of audio per second", audio_seconds_ / spent_.count());
  return text;
}

}  // namespace ttsft
