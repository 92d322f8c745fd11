#include "ttsft/model/recording_preparer.h"

#include <cmath>

namespace ttsft {
namespace {

constexpr double kSecondsOnDevice = 600;

}  // namespace

RecordingPreparer::RecordingPreparer(const ModelContext& context, double seconds_on_cpu)
    : run_(context.config), device_(context.device), seconds_on_cpu_(seconds_on_cpu) {}

int64_t RecordingPreparer::batch_budget() const {
  const double own = device_.is_cpu() ? seconds_on_cpu_ : kSecondsOnDevice;
  return std::llround(run_.data.batch_seconds.value.value_or(own) * limits().sample_rate);
}

void RecordingPreparer::encode(std::span<PrepItem*> batch) {
  c10::InferenceMode inference;
  std::vector<PrepItem*> recordings;
  for (PrepItem* item : batch) {
    if (needs_audio(*item->utterance)) {
      recordings.push_back(item);
    } else {
      take_encoded(*item);
    }
  }
  if (!recordings.empty()) encode_recordings(recordings);
}

torch::Tensor RecordingPreparer::wave_of(const PrepItem& item) {
  return torch::from_blob(const_cast<float*>(item.wave.data()),
                          {static_cast<int64_t>(item.wave.size())});
}

}  // namespace ttsft
