#include "plan.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/nn/device_memory.h"
#include "ttsft/train/schedule.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// Checkpoints that stand in the run folder at its fullest, the one being written included.
int64_t most_checkpoints(const TrainConfig& train, int64_t steps) {
  const int64_t every = train.checkpoint_every > 0 ? train.checkpoint_every : steps;
  const int64_t written = (steps + every - 1) / every;
  if (train.keep.all) return written;
  return std::min(
      written, std::max<int64_t>(1, train.keep.last) + std::max<int64_t>(1, train.keep.best) + 1);
}

// Bytes of the release that each full checkpoint copies where it cannot link to them.
int64_t copied_bytes(const RunConfig& config, const Trainee& trainee) {
  if (trainee.lora || one_file_system(config.run, config.checkpoint)) return 0;
  int64_t bytes = 0;
  const auto follow = fs::directory_options::follow_directory_symlink;
  for (const auto& entry : fs::recursive_directory_iterator(config.checkpoint, follow)) {
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  }
  return std::max<int64_t>(0, bytes - trainee.model_bytes);
}

int64_t estimate_disk(const RunConfig& config, const Trainee& trainee, int64_t steps) {
  const int64_t values = trainee.weights.count();
  const int64_t weights = trainee.lora ? values * int64_t{sizeof(float)}
                                       : trainee.model_bytes + copied_bytes(config, trainee);
  // Two moments for the last and the best checkpoint, and masters where weights may be rounded.
  const int64_t state = values * int64_t{sizeof(float)} * (trainee.lora ? 2 : 3);
  const int64_t count = most_checkpoints(config.train, steps);
  return count * weights + std::min<int64_t>(count, 3) * state;
}

// 0 when unknown.
int64_t free_disk(const fs::path& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(nearest_existing(folder), error);
  return error ? 0 : static_cast<int64_t>(space.available);
}

double epochs_of(int64_t steps, Feed& feed) {
  double epochs = 0;
  for (int64_t epoch = 0; steps > 0; ++epoch) {
    const int64_t in_epoch = feed.steps_in_epoch(epoch);
    epochs += std::min(1.0, static_cast<double>(steps) / static_cast<double>(in_epoch));
    steps -= in_epoch;
  }
  return epochs;
}

// Of the free bytes and those of the weights, which are loaded: a tenth is left to CUDA itself.
int64_t usable(int64_t free, const StepMemory& step) {
  return (free + step.weights) / 10 * 9;
}

void warn_of_batches(const Plan& plan, const TrainConfig& train, int64_t free) {
  const std::string key = train.batch_tokens ? "train.batch_tokens" : "train.batch_utterances";
  const std::string need =
      detail::concatenate("the largest batch (", plan.step->rows, " clips, ", plan.step->positions,
                          " positions) needs about ", bytes_text(plan.step->total()), ", ",
                          bytes_text(free + plan.step->weights), " are there: ");
  if (train.activation_checkpointing == "false") {
    log_warning(need, "set train.activation_checkpointing: auto");
  } else if (plan.fitting > 0) {
    log_warning(need, key, ": ", plan.fitting, " fits; raise train.accumulate with it");
  } else {
    log_warning(need,
                "not even its longest clip fits: lower data.guards.max_seconds and run prep "
                "again, or use train.method: lora and precision: bf16");
  }
}

void log_warnings(const Plan& plan, const RunConfig& config, const ModelContext& context) {
  const TrainConfig& train = config.train;
  if (train.schedule.warmup_steps > plan.warmup_steps) {
    log_warning("the warm-up of ", train.schedule.warmup_steps, " steps is cut to ",
                plan.warmup_steps, ", a tenth of the run of ", plan.steps);
  }
  // A checkpoint at a step without a validation cannot become the best.
  const bool aligned =
      train.validate_every > 0 && train.checkpoint_every % train.validate_every == 0;
  const bool several = train.checkpoint_every > 0 && train.checkpoint_every < plan.steps;
  if (plan.validation_rows == 0) {
    log_info("the prepared set holds no validation clips: there is no validation, and no best");
  } else if (several && !aligned) {
    log_warning("train.checkpoint_every (", train.checkpoint_every,
                ") is no multiple of train.validate_every (", train.validate_every,
                "): only checkpoints at a step with a validation can become the best");
  }
  if (train.accumulate > plan.batches_per_epoch) {
    log_warning("train.accumulate is ", train.accumulate, " but an epoch has ",
                plan.batches_per_epoch, " batches: a step takes ", plan.batches_per_epoch);
  }
  const int64_t disk = free_disk(config.run);
  if (disk > 0 && plan.disk_bytes > disk) {
    log_warning("checkpoints will need about ", bytes_text(plan.disk_bytes), " and ",
                config.run.string(), " has ", bytes_text(disk),
                " left: raise train.checkpoint_every or set train.keep");
  }
  const int64_t memory = free_memory(context.device);
  if (memory > 0 && plan.memory_bytes > memory) {
    log_warning("weights, gradients and optimizer need about ", bytes_text(plan.memory_bytes),
                " and ", bytes_text(memory), " are free: train.method: lora needs far less");
  } else if (memory > 0 && plan.step && plan.step->total() > usable(memory, *plan.step)) {
    warn_of_batches(plan, train, memory);
  }
}

}  // namespace

const char* precision_name(torch::Dtype dtype) {
  return dtype == torch::kBFloat16 ? "bf16" : "fp32";
}

std::string number_text(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string bytes_text(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  if (bytes < 1'000'000) return number_text(b / 1e3, "%.1f kB");
  return bytes < 1'000'000'000 ? number_text(b / 1e6, "%.1f MB") : number_text(b / 1e9, "%.1f GB");
}

int64_t count_steps(const TrainConfig& train, Feed& feed) {
  if (feed.steps_in_epoch(0) == 0) return 0;
  if (!train.epochs) return train.steps.value_or(0);
  double steps = 0, left = *train.epochs;
  for (int64_t epoch = 0; left > 0; ++epoch, left -= 1) {
    steps += std::min(1.0, left) * static_cast<double>(feed.steps_in_epoch(epoch));
  }
  return static_cast<int64_t>(std::ceil(steps - 1e-9));
}

Plan make_plan(const RunConfig& config, const Trainee& trainee, const Samples& train,
               const Samples& validation, Feed& feed) {
  Plan plan;
  plan.train_rows = std::ssize(train);
  plan.validation_rows = std::ssize(validation);
  plan.steps = count_steps(config.train, feed);
  if (plan.steps <= 0) {
    const bool empty = train.empty();
    throw UsageError("the plan has zero steps", empty ? "data.prepared" : "train.steps",
                     empty ? "the prepared set holds no training clips: lower data.validation and "
                             "run prep again"
                           : "give train.steps or train.epochs");
  }
  plan.epochs = epochs_of(plan.steps, feed);
  plan.batches_per_epoch = feed.sampler().batches_per_epoch();
  plan.steps_per_epoch = feed.steps_in_epoch(0);
  int64_t positions = 0;
  for (const auto& sample : train) positions += sample->length;
  plan.tokens_per_step = static_cast<double>(positions) / static_cast<double>(plan.steps_per_epoch);
  plan.padding = feed.sampler().padding_share();
  plan.warmup_steps = warmup_steps(config.train.schedule, plan.steps);
  plan.trainable = trainee.weights.count();
  plan.total = trainee.model_values + (trainee.lora ? plan.trainable : 0);
  // The model's own weights are in memory already; what counts is what comes on top.
  plan.memory_bytes = trainee.weights.training_bytes();
  plan.disk_bytes = estimate_disk(config, trainee, plan.steps);
  return plan;
}

void plan_step(Plan& plan, const RunConfig& config, const ModelAdapter& adapter,
               const CheckpointRef& base, const Samples& train, Feed& feed, torch::Device device) {
  try {
    plan.step = count_largest_step(config, adapter, base, train, feed.sampler());
    const int64_t free = device.is_cuda() ? free_memory(device) : 0;
    if (free > 0) {
      plan.fitting = fitting_batch(config, adapter, base, train, feed.sampler(), *plan.step,
                                   usable(free, *plan.step));
    }
  } catch (const c10::Error& error) {
    plan.step.reset();
    log_warning("the memory of a step cannot be counted: ", error.what_without_backtrace());
  }
}

void log_plan(const Plan& plan, const RunConfig& config, const ModelContext& context,
              const ModelInfo& info) {
  log_info(info.title, ", stage ", config.train.stage, ", ", config.train.method, " on ",
           context.device.str(), " in ", precision_name(context.dtype));
  const License& license = info.license;
  const std::string note = license.note.empty() ? "" : ": " + license.note;
  if (license.commercial) {
    log_info("licence of the weights: ", license.weights, note);
  } else {
    log_warning("licence of the weights: ", license.weights, ", no commercial use", note);
  }
  log_info(plan.steps, " steps, ", number_text(plan.epochs, "%.3g"), " epochs of ",
           plan.steps_per_epoch, " steps over ", plan.train_rows, " clips; ", plan.validation_rows,
           " clips for validation");
  log_info("about ", number_text(plan.tokens_per_step, "%.0f"), " tokens a step, ",
           number_text(100 * plan.padding, "%.1f"), " % padding; warm-up ", plan.warmup_steps,
           " steps");
  log_info(plan.trainable, " of ", plan.total, " values are trained; optimizer and gradients take ",
           bytes_text(plan.memory_bytes), ", checkpoints up to ", bytes_text(plan.disk_bytes));
  if (plan.step) log_info(describe_step(*plan.step));
  log_warnings(plan, config, context);
}

std::string describe_step(const StepMemory& step) {
  return detail::concatenate("a step on a GPU takes about ", bytes_text(step.total()),
                             " at its highest: weights ", bytes_text(step.weights),
                             ", optimizer and gradients ", bytes_text(step.optimizer),
                             ", activations ", bytes_text(step.activations), " for ", step.rows,
                             " clips of ", step.positions, " positions");
}

nlohmann::ordered_json plan_json(const Plan& plan, const RunConfig& config,
                                 const ModelContext& context, const ModelInfo& info) {
  nlohmann::ordered_json step;
  if (plan.step) {
    step = {{"total_bytes", plan.step->total()},
            {"weights_bytes", plan.step->weights},
            {"optimizer_bytes", plan.step->optimizer},
            {"activation_bytes", plan.step->activations},
            {"clips", plan.step->rows},
            {"positions", plan.step->positions}};
  }
  return {{"device", context.device.str()},
          {"precision", precision_name(context.dtype)},
          {"license", info.license.weights},
          {"commercial", info.license.commercial},
          {"steps", plan.steps},
          {"epochs", plan.epochs},
          {"steps_per_epoch", plan.steps_per_epoch},
          {"batches_per_epoch", plan.batches_per_epoch},
          {"accumulate", config.train.accumulate},
          {"train_clips", plan.train_rows},
          {"validation_clips", plan.validation_rows},
          {"tokens_per_step", plan.tokens_per_step},
          {"padding", plan.padding},
          {"warmup_steps", plan.warmup_steps},
          {"trainable_parameters", plan.trainable},
          {"total_parameters", plan.total},
          {"memory_bytes", plan.memory_bytes},
          {"gpu_step", step},
          {"disk_bytes", plan.disk_bytes}};
}

}  // namespace ttsft
