// The loop over optimizer steps.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints.h"
#include "feed.h"
#include "metrics.h"
#include "plan.h"
#include "readback.h"
#include "trainee.h"
#include "ttsft/core/progress.h"
#include "ttsft/model/adapter.h"
#include "ttsft/train/optimizer.h"

namespace ttsft {

// What the loop works on; all of it outlives the trainer.
struct TrainSetup {
  const RunConfig& config;
  ModelContext context;
  Stage& stage;
  Trainee& trainee;
  const Samples& validation;
  const Replay* validation_replay;  // or nullptr
  Feed& feed;
  const Plan& plan;
};

class Trainer {
 public:
  // state: where to begin; the masters and the optimizer are restored by the caller.
  Trainer(const TrainSetup& setup, AdamW& optimizer, TrainerState state);

  // Until the last step, or until patience is used up. Throws Stopped after saving.
  void run();

  const TrainerState& state() const { return state_; }
  bool out_of_patience() const;
  const nlohmann::ordered_json& last_row() const { return last_row_; }

 private:
  // Of one loss term over the micro-batches of a step so far.
  struct Sum {
    double weight;
    torch::Tensor total;  // float64 scalar on the device
  };
  // A step whose numbers are still on the device.
  struct Pending {
    struct Term {
      std::string name;
      double weight;
      double tokens;
    };
    nlohmann::ordered_json row;  // losses and norm still missing
    std::vector<Term> terms;
    std::vector<std::string> ids;
    Readback values;  // sum of each term's losses, then the gradient norm
  };

  void train_step(int64_t step);
  // Forward and backward passes of a step, and clipping. Nothing waits for the device.
  Pending accumulate(int64_t step, const StepBatches& batches);
  void backward(const Batch& batch, const std::map<std::string, double>& tokens,
                std::map<std::string, Sum>& sums);
  void flush();  // writes the pending row; RunError for a loss that is none
  void validate(int64_t step);
  void save();

  TrainSetup setup_;
  AdamW& optimizer_;
  TrainerState state_;
  MetricsLog metrics_;
  std::optional<Pending> pending_;
  nlohmann::ordered_json last_row_;
  std::chrono::steady_clock::time_point clock_;  // end of the step before
};

}  // namespace ttsft
