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

int64_t Encoder::padded_length(std::span<PrepItem*> items) const {
  return preparer_.length(*items.front()) * static_cast<int64_t>(items.size());
}

void Encoder::encode_batch(std::span<PrepItem*> items) {
  const size_t half = (items.size() + 1) / 2;
  const bool fits = items.size() == 1 || !most_ || padded_length(items) <= *most_;
  if (fits && try_batch(items)) return;
  encode_batch(items.first(half));
  encode_batch(items.subspan(half));
}

// False: there was too little memory, and batches are smaller from now on.
bool Encoder::try_batch(std::span<PrepItem*> items) {
  try {
    preparer_.encode(items);
    return true;
  } catch (const DataError& error) {
    // A row that breaks its batch must not cost its neighbours: then each is tried alone.
    if (items.size() == 1) {
      items.front()->refused = error.what();
      return true;
    }
  } catch (const c10::OutOfMemoryError&) {
    if (items.size() == 1) throw too_long(*items.front());
    most_ = padded_length(items) / 2;
    const double seconds = static_cast<double>(*most_) / preparer_.limits().sample_rate;
    log_warning("out of device memory: batches of prep hold ", std::lround(seconds),
                " s of audio from now on (data.batch_seconds: ", std::max(1L, std::lround(seconds)),
                " starts with that)");
    return false;
  }
  for (size_t i = 0; i < items.size(); ++i) try_batch(items.subspan(i, 1));
  return true;
}

std::string Encoder::speed() const {
  if (!(spent_.count() > 0)) return {};
  char text[48];
  std::snprintf(text, sizeof(text), "%.1f s of audio per second", audio_seconds_ / spent_.count());
  return text;
}

}  // namespace ttsft
