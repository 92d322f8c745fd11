// The device half of prep: batches of like length, each finished row into the journal at once.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "src/prep/clip_reader.h"
#include "ttsft/data/prepared_set.h"
#include "ttsft/model/preparer.h"
#include "ttsft/nn/device_memory.h"

namespace ttsft {

// Longest first, cut where rows x longest would pass the budget; a row above it is alone.
std::vector<std::vector<Clip*>> cut_batches(std::vector<Clip*> clips, const Preparer& preparer);

class Encoder {
 public:
  Encoder(Preparer& preparer, PreparedWriter& writer, torch::Device device);

  // Encodes and saves, the files of one batch while the next is encoded; done(clip) is called for
  // every clip that is saved or refused by the model (clip.refused). Leaves after the current batch
  // when a stop was asked for. A batch that the device has no memory for is halved, and so are
  // those after it; RunError when one recording alone is too much.
  void encode(const std::vector<Clip*>& clips, const std::function<void(const Clip&)>& done);

  int64_t batches() const { return batches_; }
  std::string speed() const;  // "52x real time", over the time spent in here

 private:
  void encode_batch(std::span<PrepItem*> items);  // longest first
  void write(const std::vector<Clip*>& clips);

  Preparer& preparer_;
  PreparedWriter& writer_;
  FittingBatches batches_that_fit_;  // by padded length
  int64_t batches_ = 0;
  double audio_seconds_ = 0;
  std::chrono::duration<double> spent_{0};
};

}  // namespace ttsft
