// Micro-batches in the order of the sampler, collated while the device works on the step before.
#pragma once

#include <future>
#include <memory>
#include <span>
#include <vector>

#include "ttsft/core/threads.h"
#include "ttsft/data/sampler.h"
#include "ttsft/model/stage.h"

namespace ttsft {

// The next micro-batch of a run: all that has to be known to continue inside an epoch.
struct Position {
  int64_t epoch = 0, batch = 0;
  bool operator==(const Position&) const = default;
};

// All micro-batches of one optimizer step.
struct StepBatches {
  std::vector<std::unique_ptr<Batch>> batches;
  Position next;     // after this step
  int64_t step = 1;  // its number

  std::vector<std::string> ids() const;
  std::map<std::string, double> supervised() const;  // denominators by term, of the whole step
};

// A step never reaches into the next epoch: the last one of an epoch takes the batches that are
// left, and because losses are divided by the tokens of a step, it stays a mean over its tokens.
class Feed {
 public:
  // For training: draws of the batch's own. For validation: those of the utterance (model/draw.h).
  // stage, samples and replay must outlive the feed; batches are made on another thread.
  enum class Purpose { kTraining, kValidation };
  Feed(const Stage& stage, const Samples& samples, SamplerOptions options, int64_t accumulate,
       torch::Device device, Purpose purpose = Purpose::kTraining, const Replay* replay = nullptr);
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  void seek(Position position, int64_t step = 1);  // number of the step that begins there
  StepBatches next();                              // on the device

  int64_t steps_in_epoch(int64_t epoch);
  // Rows of the step at a position and the position after it.
  std::pair<std::vector<std::vector<int64_t>>, Position> rows(Position at);
  Sampler& sampler() { return sampler_; }

 private:
  std::future<StepBatches> start(Position at, int64_t step);

  const Stage& stage_;
  const Samples& samples_;
  Sampler sampler_;
  int64_t accumulate_;
  torch::Device device_;
  uint64_t seed_;
  Purpose purpose_;
  const Replay* replay_;
  Position position_;
  int64_t step_ = 1;
  std::future<StepBatches> ahead_;
  Worker worker_;  // last: what it works on outlives it
};

// "a, b, c": the first few ids and how many more there are.
std::string id_list(std::vector<std::string> ids);

}  // namespace ttsft
