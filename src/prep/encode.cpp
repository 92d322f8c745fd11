#include "src/prep/encode.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <future>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/signals.h"

namespace ttsft {
namespace {

RunError too_long(const PrepItem& item) {
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%.0f s", item.seconds);
  return RunError("there is too little device memory for one recording alone",
                  item.utterance->where + " (" + seconds + ")",
                  "cut the recording, or set device: cpu; data.batch_seconds only bounds several");
}

// A row that breaks its batch must not cost its neighbours: then each is tried alone.
void encode_items(Preparer& preparer, std::span<PrepItem*> items) {
  try {
    preparer.encode(items);
    return;
  } catch (const DataError& error) {
    if (items.size() == 1) {
      items.front()->refused = error.what();
      return;
    }
  } catch (const std::exception& error) {
    if (items.size() == 1 && is_out_of_memory(error)) throw too_long(*items.front());
    throw;
  }
  for (size_t i = 0; i < items.size(); ++i) encode_items(preparer, items.subspan(i, 1));
}

}  // namespace

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

Encoder::Encoder(Preparer& preparer, PreparedWriter& writer, torch::Device device)
    : preparer_(preparer),
      writer_(writer),
      batches_that_fit_(device, [rate = preparer.limits().sample_rate](int64_t length) {
        const int64_t seconds = std::max<int64_t>(1, length / rate);
        return detail::concatenate("batches of ", seconds,
                                   " s of audio (data.batch_seconds: ", seconds,
                                   " starts with that)");
      }) {}

void Encoder::encode(const std::vector<Clip*>& clips,
                     const std::function<void(const Clip&)>& done) {
  const torch::InferenceMode no_gradients;
  std::vector<Clip*> written;  // by the thread behind the encoder
  std::future<void> writing;   // its destructor waits, so that the clips outlive the thread
  const auto finish_writing = [&] {
    if (writing.valid()) writing.get();
    for (Clip* clip : written) {
      done(*clip);
      clip->item.wave = {};
      clip->item.row = {};
      clip->item.save = nullptr;
    }
    written.clear();
  };
  for (std::vector<Clip*>& batch : cut_batches(clips, preparer_)) {
    if (stop_signal() != 0) break;
    const auto start = std::chrono::steady_clock::now();
    std::vector<PrepItem*> items;
    items.reserve(batch.size());
    for (Clip* clip : batch) items.push_back(&clip->item);
    encode_batch(items);
    spent_ += std::chrono::steady_clock::now() - start;
    ++batches_;
    for (const Clip* clip : batch) audio_seconds_ += clip->item.seconds;
    finish_writing();
    written = std::move(batch);
    writing = std::async(std::launch::async, [this, &written] { write(written); });
  }
  finish_writing();
}

void Encoder::write(const std::vector<Clip*>& clips) {
  const torch::InferenceMode no_gradients;
  for (Clip* clip : clips) {
    const PrepItem& item = clip->item;
    if (!item.refused.empty()) {
      clip->refused = item.refused;
      clip->guard = "model";
      continue;
    }
    if (item.save) item.save();
    writer_.add({item.utterance->id, clip->key, item.seconds, item.row, clip->notes});
  }
}

void Encoder::encode_batch(std::span<PrepItem*> batch) {
  batches_that_fit_.run<PrepItem*>(
      batch,
      [&](std::span<PrepItem* const> items) {
        return preparer_.length(*items.front()) * std::ssize(items);
      },
      [&](std::span<PrepItem*> items) { encode_items(preparer_, items); });
}

std::string Encoder::speed() const {
  if (!(spent_.count() > 0)) return {};
  char text[48];
  std::snprintf(text, sizeof(text), "%.1f s of audio per second", audio_seconds_ / spent_.count());
  return text;
}

}  // namespace ttsft
