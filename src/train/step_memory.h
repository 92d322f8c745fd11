// What a training step takes on a GPU, before anything is computed: the largest batch of the run
// goes through loss, backward pass and the sums of its gradients on LibTorch's meta device
// (nn/meta_device.h), whose allocator counts. What CUDA adds of its own (context, cuBLAS, what its
// allocator cannot fill) is not in it: leave a tenth free.
#pragma once

#include <cstdint>
#include <span>

#include "feed.h"
#include "ttsft/model/adapter.h"

namespace ttsft {

struct StepMemory {
  int64_t weights = 0;              // of the stage, as they are loaded
  int64_t optimizer = 0;            // masters, sums of gradients, moments
  int64_t activations = 0;          // what comes on top at the highest point of a step
  int64_t rows = 0, positions = 0;  // of the batch that was counted
  int64_t total() const { return weights + optimizer + activations; }
};

// Counts samples of one batch. config.precision `auto` is read as on a GPU that computes in bf16,
// train.activation_checkpointing `auto` as on any GPU.
StepMemory count_step_memory(const RunConfig& config, const ModelAdapter& adapter,
                             const CheckpointRef& base, const Samples& samples,
                             std::span<const int64_t> rows);

// For the batch that takes most positions in the first epochs.
StepMemory count_largest_step(const RunConfig& config, const ModelAdapter& adapter,
                              const CheckpointRef& base, const Samples& samples, Sampler& sampler);

// The largest train.batch_tokens (or batch_utterances, where the run file gives that) whose step
// takes `bytes` at most; 0 when not even one row fits. largest: what count_largest_step() said.
// Counts a second, smaller batch, and takes memory to grow with positions.
int64_t fitting_batch(const RunConfig& config, const ModelAdapter& adapter,
                      const CheckpointRef& base, const Samples& samples, Sampler& sampler,
                      const StepMemory& largest, int64_t bytes);

// What train.activation_checkpointing means on a device.
bool recomputes_activations(const RunConfig& config, bool on_gpu);

}  // namespace ttsft
