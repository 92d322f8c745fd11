// What a run will do and what it will cost, before it does anything.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "feed.h"
#include "step_memory.h"
#include "trainee.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct Plan {
  int64_t steps = 0;
  double epochs = 0;  // passes over the training part that the steps amount to
  int64_t batches_per_epoch = 0, steps_per_epoch = 0;
  int64_t train_rows = 0, validation_rows = 0;
  double tokens_per_step = 0;        // positions without padding, mean over epoch 0
  double padding = 0;                // share of the padded positions
  int64_t warmup_steps = 0;          // at most a tenth of the steps
  int64_t trainable = 0, total = 0;  // values
  // On top of the loaded model: masters, gradients, moments; no activations.
  int64_t memory_bytes = 0;
  std::optional<StepMemory> step;  // on a GPU, activations included; where it was counted
  int64_t fitting = 0;             // train.batch_tokens (or batch_utterances) that fits the GPU
  int64_t disk_bytes = 0;          // all that will stand in the run folder at its fullest
};

// steps, or the steps of so many epochs (a fraction is rounded up to a whole step).
int64_t count_steps(const TrainConfig& train, Feed& feed);

// UsageError for a plan of zero steps.
Plan make_plan(const RunConfig& config, const Trainee& trainee, const Samples& train,
               const Samples& validation, Feed& feed);

// Counts what a step takes on a GPU and what would fit the one at hand. Where that cannot be done
// the log says why, and the run goes on.
void plan_step(Plan& plan, const RunConfig& config, const ModelAdapter& adapter,
               const CheckpointRef& base, const Samples& train, Feed& feed, torch::Device device);

// Says the plan, the licence and what deserves a warning in the log.
void log_plan(const Plan& plan, const RunConfig& config, const ModelContext& context,
              const ModelInfo& info);

std::string describe_step(const StepMemory& step);  // one line

nlohmann::ordered_json plan_json(const Plan& plan, const RunConfig& config,
                                 const ModelContext& context, const ModelInfo& info);

const char* precision_name(torch::Dtype dtype);             // as the run file spells it
std::string number_text(double value, const char* format);  // printf's format for one double
std::string bytes_text(int64_t bytes);                      // "1.5 GB"

}  // namespace ttsft
