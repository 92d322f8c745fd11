#include "ttsft/model/stage.h"

#include "ttsft/core/threads.h"

namespace ttsft {

void pin(Batch& batch) {
  batch.each([](torch::Tensor& tensor) {
    if (tensor.defined() && tensor.is_cpu()) tensor = tensor.pin_memory();
  });
}

void move_to(Batch& batch, torch::Device device) {
  batch.each([device](torch::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(device, /*non_blocking=*/true);
  });
}

std::unique_ptr<Batch> Stage::make_batch(std::span<const Sample* const> samples, const Draw& draw) {
  auto batch = collate(samples, draw);
  move_to(*batch, module().parameters().front().device());
  return batch;
}

Samples read_samples(Stage& stage, const PreparedRows& rows) {
  Samples samples(rows.size());
  parallel_for(std::ssize(samples), cpu_threads(), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    samples[at] = stage.read(rows[at]);
  });
  return samples;
}

}  // namespace ttsft
