#include "step_memory.h"

#include <algorithm>

#include "trainee.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/meta_device.h"

namespace ttsft {
namespace {

constexpr int64_t kEpochs = 8;  // in each of them other rows meet

// Rows of the batch with most positions, padding included.
std::vector<int64_t> largest_batch(const Samples& samples, Sampler& sampler) {
  std::vector<int64_t> largest;
  int64_t most = -1;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (const std::vector<int64_t>& rows : sampler.epoch(epoch)) {
      int64_t longest = 0;
      for (const int64_t row : rows)
        longest = std::max(longest, samples.at(static_cast<size_t>(row))->length);
      if (longest * std::ssize(rows) <= most) continue;
      most = longest * std::ssize(rows);
      largest = rows;
    }
  }
  return largest;
}

void run_micro_batch(Stage& stage, Trainee& trainee, const Batch& batch) {
  torch::Tensor total;
  for (const LossTerm& term : stage.loss(batch, {})) {
    const torch::Tensor part = term.value.sum() * term.weight;
    total = total.defined() ? total + part : part;
  }
  trainee.weights.begin_step();
  total.backward();
  trainee.weights.collect();
}

}  // namespace

bool recomputes_activations(const RunConfig& config, bool on_gpu) {
  const std::string& wanted = config.train.activation_checkpointing;
  return wanted == "true" || (wanted == "auto" && on_gpu);
}

StepMemory count_step_memory(const RunConfig& config, const ModelAdapter& adapter,
                             const CheckpointRef& base, const Samples& samples,
                             std::span<const int64_t> rows) {
  use_meta_device();
  const torch::Dtype dtype = config.precision == "fp32" ? torch::kFloat32 : torch::kBFloat16;
  const ModelContext context{config, torch::kMeta, dtype};
  const int64_t before = meta_memory();
  const auto stage = adapter.make_stage(context, base);
  StepMemory memory;
  memory.weights = meta_memory() - before;
  Trainee trainee = make_trainee(config, *stage, context.device, {}, adapter.info().peft_task_type);
  memory.optimizer = trainee.weights.training_bytes();
  stage->module().train();
  set_activation_checkpointing(stage->module(), recomputes_activations(config, true));

  std::vector<const Sample*> batch_samples;
  for (const int64_t row : rows)
    batch_samples.push_back(samples.at(static_cast<size_t>(row)).get());
  const auto batch = stage->make_batch(batch_samples, Draw{.training = true, .seed = 1});
  memory.rows = std::ssize(rows);
  memory.positions = batch->positions;
  // From the second micro-batch on the sums of the gradients are there all the time.
  run_micro_batch(*stage, trainee, *batch);
  reset_peak_meta_memory();
  run_micro_batch(*stage, trainee, *batch);
  const int64_t moments = 2 * trainee.weights.count() * int64_t{sizeof(float)};
  const int64_t peak = peak_meta_memory() - before + moments;
  memory.activations = std::max<int64_t>(0, peak - memory.weights - memory.optimizer);
  return memory;
}

StepMemory count_largest_step(const RunConfig& config, const ModelAdapter& adapter,
                              const CheckpointRef& base, const Samples& samples, Sampler& sampler) {
  return count_step_memory(config, adapter, base, samples, largest_batch(samples, sampler));
}

int64_t fitting_batch(const RunConfig& config, const ModelAdapter& adapter,
                      const CheckpointRef& base, const Samples& samples, Sampler& sampler,
                      const StepMemory& largest, int64_t bytes) {
  const int64_t given =
      config.train.batch_tokens.value_or(config.train.batch_utterances.value_or(0));
  if (largest.total() <= bytes) return given;
  if (largest.rows <= 1) return 0;
  const std::vector<int64_t> rows = largest_batch(samples, sampler);
  const StepMemory half = count_step_memory(config, adapter, base, samples,
                                            std::span(rows).first((rows.size() + 1) / 2));
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  const double per_position = std::max(
      1.0, number(largest.total() - half.total()) / number(largest.positions - half.positions));
  const double positions =
      number(largest.positions) - number(largest.total() - bytes) / per_position;
  const double row = number(largest.positions) / number(largest.rows);
  if (positions < row) return 0;
  constexpr int64_t kStep = 64;
  return config.train.batch_tokens ? static_cast<int64_t>(positions) / kStep * kStep
                                   : static_cast<int64_t>(positions / row);
}

}  // namespace ttsft
