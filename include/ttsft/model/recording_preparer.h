// What the models' preparers have in common: rows that upstream's tools encoded already are taken
// as they are, the others need their recording; a batch is budgeted in seconds of audio.
#pragma once

#include <torch/torch.h>

#include "ttsft/core/error.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

class RecordingPreparer : public Preparer {
 public:
  std::string fingerprint() const override { return fingerprint_; }
  int64_t length(const PrepItem& item) const override {
    return static_cast<int64_t>(item.wave.size());
  }
  int64_t batch_budget() const override;
  void encode(std::span<PrepItem*> batch) override;

 protected:
  // seconds_on_cpu: of audio in a batch where data.batch_seconds is auto, on the CPU. On a device
  // it is ten minutes, and the engine halves it where the memory does not suffice.
  RecordingPreparer(const ModelContext& context, double seconds_on_cpu);

  // Fills item.row and item.seconds, or item.refused. Under inference mode.
  virtual void encode_recordings(std::span<PrepItem* const> items) = 0;  // at least one
  virtual void take_encoded(PrepItem& item) = 0;  // a row that needs no recording

  // Whether a file of an earlier run can be opened: a power cut may leave one without content.
  template <typename Open>
  static bool opens(const Open& open) {
    try {
      open();
      return true;
    } catch (const DataError&) {
      return false;
    }
  }

  // [samples] on the CPU; a view that lives as long as the item's wave.
  static torch::Tensor wave_of(const PrepItem& item);

  const RunConfig& run_;
  torch::Device device_;
  std::string fingerprint_;  // set by the model

 private:
  double seconds_on_cpu_;
};

}  // namespace ttsft
