#include "models/indextts2/objective.h"

#include <algorithm>

#include "ttsft/nn/loss.h"

namespace ttsft::indextts2 {
namespace {

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

// Ids of one track, batch-wide, with their places and what they predict.
struct Track {
  std::vector<int64_t> ids, position, at, from, label, row;

  // One row's inputs, of which each predicts the next one; the last predicts `last`, or nothing
  // when last < 0. Returns the place behind them.
  int64_t add(const std::vector<int64_t>& inputs, int64_t place, int64_t batch_row, int64_t last) {
    for (size_t i = 0; i < inputs.size(); ++i, ++place) {
      ids.push_back(inputs[i]);
      position.push_back(static_cast<int64_t>(i));
      at.push_back(place);
      const int64_t next = i + 1 < inputs.size() ? inputs[i + 1] : last;
      if (next < 0) continue;
      from.push_back(place);
      label.push_back(next);
      row.push_back(batch_row);
    }
    return place;
  }
};

}  // namespace

SpeechBatch SpeechBatch::to(torch::Device device) const {
  SpeechBatch moved = *this;
  for (torch::Tensor SpeechBatch::*field :
       {&SpeechBatch::condition, &SpeechBatch::emotion, &SpeechBatch::prefix_at, &SpeechBatch::text,
        &SpeechBatch::text_position, &SpeechBatch::text_at, &SpeechBatch::mel,
        &SpeechBatch::mel_position, &SpeechBatch::mel_at, &SpeechBatch::text_from,
        &SpeechBatch::text_label, &SpeechBatch::text_row, &SpeechBatch::mel_from,
        &SpeechBatch::mel_label, &SpeechBatch::mel_row})
    moved.*field = (moved.*field).to(device, /*non_blocking=*/true);
  return moved;
}

int64_t Objective::length(const SpeechSample& sample) const {
  return config_.prefix() + std::ssize(sample.text) + 2 + std::ssize(sample.codes) + 1;
}

SpeechBatch Objective::collate(std::span<const SpeechSample* const> samples) const {
  const auto rows = std::ssize(samples);
  int64_t longest = 0;
  for (const SpeechSample* sample : samples) longest = std::max(longest, length(*sample));

  SpeechBatch batch;
  Track text, mel;
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
    place = text.add(inputs, place, b, /*last=*/-1);
    inputs = {config_.start_mel_token};
    inputs.insert(inputs.end(), sample.codes.begin(), sample.codes.end());
    place = mel.add(inputs, place, b, config_.stop_mel_token);
    batch.padding += (b + 1) * longest - place;
  }
  batch.condition = torch::stack(conditions);
  batch.emotion = torch::stack(emotions);
  batch.prefix_at = long_tensor(prefix_at);
  batch.text = long_tensor(text.ids);
  batch.text_position = long_tensor(text.position);
  batch.text_at = long_tensor(text.at);
  batch.text_from = long_tensor(text.from);
  batch.text_label = long_tensor(text.label);
  batch.text_row = long_tensor(text.row);
  batch.mel = long_tensor(mel.ids);
  batch.mel_position = long_tensor(mel.position);
  batch.mel_at = long_tensor(mel.at);
  batch.mel_from = long_tensor(mel.from);
  batch.mel_label = long_tensor(mel.label);
  batch.mel_row = long_tensor(mel.row);
  batch.positions = rows * longest;
  batch.supervised = {{"text", std::ssize(text.label)}, {"mel", std::ssize(mel.label)}};
  return batch;
}

torch::Tensor Objective::embed(UnifiedVoice& model, const SpeechBatch& batch) const {
  const int64_t rows = batch.condition.size(0), dim = config_.model_dim;
  const torch::Tensor values = torch::cat(
      {model->prefix(batch.condition, batch.emotion).flatten(0, 1),
       model->text(batch.text, batch.text_position), model->mel(batch.mel, batch.mel_position)});
  const torch::Tensor places = torch::cat({batch.prefix_at, batch.text_at, batch.mel_at});
  return torch::zeros({batch.positions, dim}, values.options())
      .index_copy(0, places, values)
      .view({rows, -1, dim});
}

std::vector<LossTerm> Objective::loss(UnifiedVoice& model, const SpeechBatch& batch,
                                      bool accuracy) const {
  // Right padding needs no mask: attention is causal, so no real position sees it.
  const torch::Tensor hidden = model->gpt(embed(model, batch)).flatten(0, 1);  // [B T, D]
  // Only positions with a label pass the norms and a head.
  const auto term = [&](const char* name, double weight, const torch::Tensor& from,
                        const torch::Tensor& label, const torch::Tensor& row, Linear& head) {
    const torch::Tensor states = model->norm(hidden.index_select(0, from));
    const TokenLoss loss =
        linear_cross_entropy(states, head->effective_weight(), head->bias, label, accuracy);
    return LossTerm{name, weight, loss.nll, loss.correct, row};
  };
  return {
      term("text", weights_.text, batch.text_from, batch.text_label, batch.text_row,
           model->text_head),
      term("mel", weights_.mel, batch.mel_from, batch.mel_label, batch.mel_row, model->mel_head)};
}

}  // namespace ttsft::indextts2
