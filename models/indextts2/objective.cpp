#include "models/indextts2/objective.h"

#include <algorithm>

#include "ttsft/nn/loss.h"

namespace ttsft::indextts2 {

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor : {&condition, &emotion, &prefix_at}) visit(*tensor);
  text.each(visit);
  mel.each(visit);
}

int64_t Objective::length(const SpeechSample& sample) const {
  return config_.prefix() + std::ssize(sample.text) + 2 + std::ssize(sample.codes) + 1;
}

SpeechBatch Objective::collate(std::span<const SpeechSample* const> samples) const {
  const auto rows = std::ssize(samples);
  int64_t longest = 0;
  for (const SpeechSample* sample : samples) longest = std::max(longest, length(*sample));

  SpeechBatch batch;
  TokenTrackBuilder text, mel;
  std::vector<torch::Tensor> conditions, emotions;
  std::vector<int64_t> prefix_at;
  for (int64_t b = 0; b < rows; ++b) {
    const SpeechSample& sample = *samples[static_cast<size_t>(b)];
    batch.ids.push_back(sample.id);
    conditions.push_back(sample.condition);
    emotions.push_back(sample.emotion);
    int64_t place = b * longest;
    for (int64_t i = 0; i < config_.prefix(); ++i) prefix_at.push_back(place++);
    std::vector<int64_t> inputs = {config_.start_text_token};
    inputs.insert(inputs.end(), sample.text.begin(), sample.text.end());
    inputs.push_back(config_.stop_text_token);
    place = text.add(inputs, place, b, /*last=*/{});
    inputs = {config_.start_mel_token};
    inputs.insert(inputs.end(), sample.codes.begin(), sample.codes.end());
    place = mel.add(inputs, place, b, config_.stop_mel_token);
    batch.padding += (b + 1) * longest - place;
  }
  batch.condition = torch::stack(conditions);
  batch.emotion = torch::stack(emotions);
  batch.prefix_at = torch::tensor(prefix_at, torch::kInt64);
  batch.text = text.build();
  batch.mel = mel.build();
  batch.positions = rows * longest;
  batch.supervised["text"] = static_cast<double>(batch.text.label.size(0));
  batch.supervised["mel"] = static_cast<double>(batch.mel.label.size(0));
  return batch;
}

torch::Tensor Objective::embed(UnifiedVoice& model, const SpeechBatch& batch) const {
  const int64_t rows = batch.condition.size(0), dim = config_.model_dim;
  const torch::Tensor values =
      torch::cat({model->prefix(batch.condition, batch.emotion).flatten(0, 1),
                  model->text(batch.text.ids, batch.text.offset),
                  model->mel(batch.mel.ids, batch.mel.offset)});
  const torch::Tensor places =
      torch::cat({batch.prefix_at, batch.text.position, batch.mel.position});
  return torch::zeros({batch.positions, dim}, values.options())
      .index_copy(0, places, values)
      .view({rows, -1, dim});
}

std::vector<LossTerm> Objective::loss(UnifiedVoice& model, const SpeechBatch& batch,
                                      bool accuracy) const {
  // Right padding needs no mask: attention is causal, so no real position sees it.
  const torch::Tensor hidden = model->gpt(embed(model, batch)).flatten(0, 1);  // [B T, D]
  // Only positions with a label pass the norms and a head.
  const auto term = [&](const char* name, double weight, const TokenTrack& track, Linear& head) {
    const torch::Tensor states = model->norm(hidden.index_select(0, track.label_position));
    const TokenLoss loss =
        linear_cross_entropy(states, head->effective_weight(), head->bias, track.label, accuracy);
    return LossTerm{name, weight, loss.nll, loss.correct, track.label_row};
  };
  return {term("text", weights_.text, batch.text, model->text_head),
          term("mel", weights_.mel, batch.mel, model->mel_head)};
}

}  // namespace ttsft::indextts2
