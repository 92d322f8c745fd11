#include "ttsft/model/language_stage.h"

#include <vector>

namespace ttsft {

std::unique_ptr<Batch> LanguageStage::probe_batch(const Sample& sample) {
  const Sample* row = &sample;
  return collate(std::span(&row, 1), Draw{});
}

LanguageStage::Sequence LanguageStage::alone(const Sample& sample) {
  const auto batch = probe_batch(sample);
  move_to(*batch, module().parameters().front().device());
  return sequence(*batch);
}

Probe LanguageStage::train_probe(const Sample& sample) {
  torch::NoGradGuard no_grad;
  const Sequence row = alone(sample);
  const torch::Tensor states = forward(row.inputs).squeeze(0).index_select(0, row.places);
  return {logits(states).to(torch::kFloat32), row.targets};
}

Probe LanguageStage::decode_probe(const Sample& sample) {
  torch::NoGradGuard no_grad;
  const Sequence row = alone(sample);
  if (row.places.numel() == 0) return train_probe(sample);
  const auto first = row.places[0].item<int64_t>(), last = row.places[-1].item<int64_t>();
  const Forward decode = decoder(row.inputs.size(1), row.inputs);
  std::vector<torch::Tensor> rows;
  const auto look = [&](const torch::Tensor& hidden) {
    rows.push_back(logits(hidden.select(1, hidden.size(1) - 1)).to(torch::kFloat32));
  };
  look(decode(row.inputs.narrow(1, 0, first + 1)));
  for (int64_t place = first + 1; place <= last; ++place)
    look(decode(row.inputs.narrow(1, place, 1)));
  return {torch::cat(rows), row.targets};
}

}  // namespace ttsft
