#include "models/fish_s2_pro/objective.h"

#include <algorithm>

#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/loss.h"

namespace ttsft::fish_s2_pro {
namespace {

constexpr int64_t kFastFrames = 512;  // of the fast decoder, run at once

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

}  // namespace

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor :
       {&text_position, &text_ids, &frame_position, &frame_tokens, &frame_codes, &label_position,
        &label, &label_row, &frame_label, &target_codes, &target_row})
    visit(*tensor);
}

SpeechBatch Objective::collate(std::span<const SpeechSample* const> samples) const {
  SpeechBatch batch;
  batch.rows = std::ssize(samples);
  for (const SpeechSample* sample : samples)
    batch.time = std::max(batch.time, std::ssize(sample->tokens) - 1);
  std::vector<int64_t> text_position, text_ids, frame_position, frame_tokens, label_position, label,
      label_row, frame_label, target_row;
  std::vector<torch::Tensor> heard, targets;
  for (int64_t b = 0; b < batch.rows; ++b) {
    const SpeechSample& sample = *samples[static_cast<size_t>(b)];
    batch.ids.push_back(sample.id);
    const int64_t inputs = std::ssize(sample.tokens) - 1, frames = sample.codes.size(0);
    const int64_t from = sample.first_frame, to = from + frames;
    for (int64_t t = 0; t < inputs; ++t) {
      const int64_t token = sample.tokens[static_cast<size_t>(t)];
      const bool frame = t >= from && t < to;
      (frame ? frame_position : text_position).push_back(b * batch.time + t);
      (frame ? frame_tokens : text_ids).push_back(token);
      if (t + 1 < from) continue;
      if (t + 1 < to) {
        frame_label.push_back(std::ssize(label));
        target_row.push_back(b);
      }
      label_position.push_back(b * batch.time + t);
      label.push_back(sample.tokens[static_cast<size_t>(t) + 1]);
      label_row.push_back(b);
    }
    heard.push_back(sample.codes.narrow(0, 0, std::min(frames, inputs - from)));
    targets.push_back(sample.codes.narrow(0, 0, std::min(frames, inputs + 1 - from)));
  }
  batch.text_position = long_tensor(text_position);
  batch.text_ids = long_tensor(text_ids);
  batch.frame_position = long_tensor(frame_position);
  batch.frame_tokens = long_tensor(frame_tokens);
  batch.frame_codes = torch::cat(heard).to(torch::kInt64);
  batch.label_position = long_tensor(label_position);
  batch.label = long_tensor(label);
  batch.label_row = long_tensor(label_row);
  batch.frame_label = long_tensor(frame_label);
  batch.target_codes = torch::cat(targets).to(torch::kInt64);
  batch.target_row = long_tensor(target_row);
  batch.positions = batch.rows * batch.time;
  batch.padding = batch.positions - std::ssize(text_position) - std::ssize(frame_position);
  batch.supervised["base"] = static_cast<double>(label.size());
  batch.supervised["semantic"] = static_cast<double>(batch.target_codes.numel());
  return batch;
}

torch::Tensor Objective::embed(DualAr& model, const SpeechBatch& batch) const {
  const torch::Tensor text = model->embeddings(batch.text_ids);
  const torch::Tensor frames =
      model->frames(batch.frame_tokens, batch.frame_codes, options_.scaled);
  const torch::Tensor nothing = torch::zeros({batch.positions, text.size(1)}, text.options());
  return nothing
      .index_copy(0, torch::cat({batch.text_position, batch.frame_position}),
                  torch::cat({text, frames.to(text.scalar_type())}))
      .view({batch.rows, batch.time, -1});
}

torch::Tensor Objective::head(DualAr& model) const {
  return options_.adapted_head ? model->embeddings->effective_table() : model->embeddings->weight;
}

// States behind the norm, which the head and the fast decoder hear both. Right padding needs no
// mask: attention is causal.
torch::Tensor Objective::predicting(DualAr& model, const SpeechBatch& batch) const {
  const torch::Tensor hidden = model->slow()->forward(embed(model, batch));  // [B, T, D]
  return model->norm(hidden.flatten(0, 1).index_select(0, batch.label_position));
}

Probe Objective::depth_probe(DualAr& model, const SpeechBatch& batch) const {
  const torch::Tensor states = predicting(model, batch).index_select(0, batch.frame_label);
  return {model->fast_output(model->depth(states, batch.target_codes)).to(torch::kFloat32),
          batch.target_codes};
}

std::vector<LossTerm> Objective::loss(DualAr& model, const SpeechBatch& batch,
                                      bool accuracy) const {
  const torch::Tensor states = predicting(model, batch);
  const TokenLoss first = linear_cross_entropy(states, head(model), batch.label, accuracy);
  LossTerm base{"base", 1.0, first.nll, first.correct, batch.label_row};

  const torch::Tensor own = states.index_select(0, batch.frame_label);  // [F, D]
  const torch::Tensor outputs = checkpoint_rows(                        // [F, 10, D']
      [model, codes = batch.target_codes](const torch::Tensor& chunk, int64_t frame,
                                          int64_t n) mutable {
        return model->depth(chunk, codes.narrow(0, frame, n));
      },
      own, kFastFrames);
  const TokenLoss codes =
      linear_cross_entropy(outputs.flatten(0, 1), model->fast_output->effective_weight(),
                           batch.target_codes.flatten(), accuracy);
  const auto by_level = [&](const torch::Tensor& x) {
    return x.defined() ? x.view_as(batch.target_codes) : x;
  };
  LossTerm semantic{"semantic", 1.0, by_level(codes.nll), by_level(codes.correct),
                    batch.target_row};
  return {base, semantic};
}

}  // namespace ttsft::fish_s2_pro
