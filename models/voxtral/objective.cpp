#include "models/voxtral/objective.h"

#include <algorithm>

#include "models/voxtral/codec.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/loss.h"

namespace ttsft::voxtral {
namespace {

constexpr int64_t kFlowFrames = 512;  // whose velocities are computed at once
constexpr int64_t kTimes = 8;         // of the grid that evaluation looks at

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

// (f + 0.5) / 8 for f = 0, 1, .., 7, 0, 1, ..
torch::Tensor time_grid(int64_t frames) {
  return (torch::arange(frames, torch::kInt64).remainder(kTimes).to(torch::kFloat32) + 0.5) /
         kTimes;
}

torch::Tensor times(const Draw& draw, const std::string& id, int64_t frames) {
  return draw.tensor(id, "t", {frames}, [&](torch::Generator& generator) {
    return draw.training ? torch::rand({frames}, generator) : time_grid(frames);
  });
}

torch::Tensor drops(const Draw& draw, const std::string& id, int64_t frames, double probability) {
  return draw.tensor(id, "drop", {frames}, [&](torch::Generator& generator) {
    const torch::Tensor drawn = torch::rand({frames}, generator);
    return draw.training ? drawn.lt(probability).to(torch::kFloat32) : torch::zeros({frames});
  });
}

torch::Tensor joined(const std::vector<torch::Tensor>& parts, torch::IntArrayRef empty,
                     torch::Dtype type) {
  return parts.empty() ? torch::empty(empty, type) : torch::cat(parts).to(type);
}

}  // namespace

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor :
       {&text_position, &text_ids, &given_position, &given_rows, &frame_position, &frame_tokens,
        &label_position, &label, &label_row, &label_weight, &frame_label, &frame_row, &frame_weight,
        &x0, &x1, &t, &heard})
    visit(*tensor);
}

SpeechBatch Objective::collate(std::span<const SpeechSample* const> samples,
                               std::span<const VoiceRows> voices, const Draw& draw) const {
  const int64_t values = config_.codec.acoustic_dim;
  SpeechBatch batch;
  batch.rows = std::ssize(samples);
  const auto length = [&](size_t b) {
    return prompt_.size(voices[b].size(), std::ssize(samples[b]->text)) + samples[b]->codes.size(0);
  };
  for (size_t b = 0; b < samples.size(); ++b) batch.time = std::max(batch.time, length(b));
  std::vector<int64_t> text_position, text_ids, given_position, frame_position, label_position,
      label_row, frame_label, frame_row;
  std::vector<torch::Tensor> given, frames, labels, label_weights, frame_weights, x0, x1, t, heard;
  for (int64_t b = 0; b < batch.rows; ++b) {
    const SpeechSample& sample = *samples[static_cast<size_t>(b)];
    const VoiceRows& voice = voices[static_cast<size_t>(b)];
    const int64_t own = sample.codes.size(0);
    batch.ids.push_back(sample.id);
    int64_t place = b * batch.time;
    const auto text = [&](const std::vector<int64_t>& ids) {
      for (const int64_t id : ids) {
        text_position.push_back(place++);
        text_ids.push_back(id);
      }
    };
    const auto take = [&](std::vector<int64_t>& positions, int64_t count) {
      for (int64_t i = 0; i < count; ++i) positions.push_back(place++);
    };
    text(prompt_.before_voice());
    if (voice.codes.defined()) {
      frames.push_back(voice_tokens(voice.codes));
      take(frame_position, voice.size());
    } else {
      given.push_back(voice.rows);
      take(given_position, voice.size());
    }
    text(prompt_.behind_voice(sample.text));
    frames.push_back(tokens_of(sample.codes));
    const int64_t first = place - 1;  // the state that predicts frame 0
    take(frame_position, own);
    for (int64_t f = 0; f <= own; ++f) {
      if (f < own) {
        frame_label.push_back(std::ssize(label_position));
        frame_row.push_back(b);
      }
      label_position.push_back(first + f);
      label_row.push_back(b);
    }
    const torch::Tensor semantic = sample.codes.select(1, 0).to(torch::kInt64);
    labels.push_back(semantic);
    labels.push_back(torch::full({1}, config_.codec.semantic_codes, torch::kInt64));
    const torch::Tensor weight = sample.weight.defined() ? sample.weight : torch::ones({own});
    frame_weights.push_back(weight);
    label_weights.push_back(weight);
    label_weights.push_back(torch::ones({1}));
    x0.push_back(draw.normal(sample.id, "x0", {own, values}));
    x1.push_back(values_of(sample.codes.narrow(1, 1, values), config_.codec.levels));
    t.push_back(times(draw, sample.id, own));
    heard.push_back(1 - drops(draw, sample.id, own, guidance_drop_));
  }
  batch.text_position = long_tensor(text_position);
  batch.text_ids = long_tensor(text_ids);
  batch.given_position = long_tensor(given_position);
  batch.given_rows = joined(given, {0, config_.lm.dim}, torch::kFloat32);
  batch.frame_position = long_tensor(frame_position);
  batch.frame_tokens = torch::cat(frames);
  batch.label_position = long_tensor(label_position);
  batch.label = torch::cat(labels);
  batch.label_row = long_tensor(label_row);
  batch.label_weight = torch::cat(label_weights);
  batch.frame_label = long_tensor(frame_label);
  batch.frame_row = long_tensor(frame_row);
  batch.frame_weight = torch::cat(frame_weights);
  batch.x0 = torch::cat(x0);
  batch.x1 = torch::cat(x1);
  batch.t = torch::cat(t);
  batch.heard = torch::cat(heard).unsqueeze(1);
  batch.positions = batch.rows * batch.time;
  batch.padding = batch.positions - std::ssize(text_position) - std::ssize(given_position) -
                  std::ssize(frame_position);
  batch.supervised["semantic"] = batch.label_weight.sum(torch::kFloat64).item<double>();
  batch.supervised["acoustic"] = batch.frame_weight.sum(torch::kFloat64).item<double>();
  return batch;
}

torch::Tensor Objective::embed(Lm& lm, const SpeechBatch& batch) const {
  const torch::Tensor text = lm->tok_embeddings(batch.text_ids);
  const torch::Tensor frames = lm->frames(batch.frame_tokens);
  const torch::Tensor nothing = torch::zeros({batch.positions, text.size(1)}, text.options());
  return nothing
      .index_copy(0, torch::cat({batch.text_position, batch.frame_position, batch.given_position}),
                  torch::cat({text, frames.to(text.scalar_type()),
                              batch.given_rows.to(text.scalar_type())}))
      .view({batch.rows, batch.time, -1});
}

// Right padding needs no mask: attention is causal.
torch::Tensor Objective::predicting(Lm& lm, const SpeechBatch& batch) const {
  const torch::Tensor hidden = lm->backbone()->forward(embed(lm, batch));  // [B, T, D]
  return lm->norm(hidden.flatten(0, 1).index_select(0, batch.label_position));
}

torch::Tensor Objective::velocity(Lm& lm, const torch::Tensor& states,
                                  const SpeechBatch& batch) const {
  const double left = 1 - config_.flow.sigma;
  const torch::Tensor t = batch.t.unsqueeze(1);
  const torch::Tensor x = (1 - left * t) * batch.x0 + t * batch.x1;  // [F, 36]
  AcousticTransformer& flow = lm->acoustic_transformer;
  const torch::Tensor heard = states * batch.heard.to(states.scalar_type());
  return checkpoint_rows(
      [flow, x, times = batch.t](const torch::Tensor& chunk, int64_t frame, int64_t n) mutable {
        return flow->velocity(x.narrow(0, frame, n), flow->embed_times(times.narrow(0, frame, n)),
                              flow->embed_states(chunk));
      },
      heard, kFlowFrames);
}

LossTerm Objective::acoustic(Lm& lm, const torch::Tensor& states, const SpeechBatch& batch) const {
  const torch::Tensor wanted = batch.x1 - (1 - config_.flow.sigma) * batch.x0;
  const torch::Tensor error = (velocity(lm, states, batch) - wanted).square().mean(1);  // [F]
  return {"acoustic", acoustic_weight_, error * batch.frame_weight,
          {},         batch.frame_row,  batch.frame_weight};
}

std::vector<LossTerm> Objective::loss(Lm& lm, const SpeechBatch& batch, bool accuracy) const {
  const torch::Tensor states = predicting(lm, batch);
  const TokenLoss next = linear_cross_entropy(states, lm->acoustic_transformer->semantic_rows(),
                                              batch.label, accuracy);
  LossTerm semantic{
      "semantic",        1.0, next.nll * batch.label_weight, next.correct, batch.label_row,
      batch.label_weight};
  return {semantic, acoustic(lm, states.index_select(0, batch.frame_label), batch)};
}

}  // namespace ttsft::voxtral
