#include "models/chatterbox/objective.h"

#include <algorithm>

#include "ttsft/nn/loss.h"

namespace ttsft::chatterbox {
namespace {

std::span<const int64_t> values(const torch::Tensor& ids) {
  return {ids.data_ptr<int64_t>(), static_cast<size_t>(ids.size(0))};
}

}  // namespace

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor :
       {&speaker, &prompt, &prompt_visible, &condition_position, &text_shown})
    visit(*tensor);
  text.each(visit);
  speech.each(visit);
}

Objective::Objective(const T3Config& config, const Options& options)
    : config_(config),
      exaggeration_(options.exaggeration),
      text_weight_(options.text_weight),
      speech_weight_(options.speech_weight) {}

int64_t Objective::length(const SpeechSample& sample) const {
  return config_.condition_length() + sample.text.size(0) + sample.speech.size(0) - 1;
}

SpeechBatch Objective::collate(std::span<const SpeechSample* const> samples,
                               const std::vector<bool>& hidden) const {
  SpeechBatch batch;
  batch.rows = static_cast<int64_t>(samples.size());
  int64_t prompt = 0, used = 0;
  for (const SpeechSample* sample : samples) {
    batch.time = std::max(batch.time, length(*sample));
    prompt = std::max(prompt, sample->condition.prompt.size(0));
    used += length(*sample);
  }
  batch.prompt = torch::zeros({batch.rows, prompt}, torch::kInt64);
  torch::Tensor visible = torch::zeros({batch.rows, prompt}, torch::kBool);
  const int64_t condition = config_.condition_length();
  std::vector<torch::Tensor> speakers, condition_positions, shown;
  TokenTrackBuilder text, speech;
  bool equal = true, any_hidden = false;
  for (int64_t b = 0; b < batch.rows; ++b) {
    const SpeechSample& sample = *samples[static_cast<size_t>(b)];
    const bool hide = !hidden.empty() && hidden.at(static_cast<size_t>(b));
    const int64_t first = b * batch.time, n = sample.text.size(0);
    batch.ids.push_back(sample.id);
    speakers.push_back(sample.condition.speaker);
    const int64_t codes = sample.condition.prompt.size(0);
    batch.prompt[b].narrow(0, 0, codes).copy_(sample.condition.prompt);
    visible[b].narrow(0, 0, codes).fill_(true);
    equal = equal && codes == prompt;
    any_hidden = any_hidden || hide;
    condition_positions.push_back(torch::arange(first, first + condition));
    shown.push_back(torch::full({n, 1}, hide ? 0.0 : 1.0));
    const int64_t behind =
        text.add(values(sample.text), first + condition, b, /*last=*/{}, !hide && text_weight_ > 0);
    const std::span<const int64_t> codes_in = values(sample.speech);
    speech.add(codes_in.first(codes_in.size() - 1), behind, b, codes_in.back());
  }
  batch.speaker = torch::stack(speakers);
  if (!equal) batch.prompt_visible = visible;
  if (any_hidden) batch.text_shown = torch::cat(shown);
  batch.condition_position = torch::cat(condition_positions);
  batch.text = text.build();
  batch.speech = speech.build();
  batch.positions = batch.rows * batch.time;
  batch.padding = batch.positions - used;
  batch.supervised["speech"] = static_cast<double>(batch.speech.label.size(0));
  if (text_weight_ > 0) batch.supervised["text"] = static_cast<double>(batch.text.label.size(0));
  return batch;
}

torch::Tensor Objective::embed(T3& t3, const SpeechBatch& batch) const {
  const torch::Tensor emotion =
      torch::full({batch.rows, 1}, exaggeration_, batch.speaker.options());
  const torch::Tensor condition =
      t3->condition(batch.speaker, batch.prompt, batch.prompt_visible, emotion);  // [B, C, D]
  torch::Tensor text = t3->text_emb(batch.text.ids);
  // Hidden texts lose their words, not their places.
  if (batch.text_shown.defined()) text = text * batch.text_shown.to(text.scalar_type());
  text = text + t3->text_pos_emb(batch.text.offset);
  const torch::Tensor speech = t3->speech(batch.speech.ids, batch.speech.offset);
  torch::Tensor x = torch::zeros({batch.rows * batch.time, speech.size(1)}, speech.options());
  x = x.index_copy(0, batch.condition_position, condition.flatten(0, 1));
  x = x.index_copy(0, batch.text.position, text);
  x = x.index_copy(0, batch.speech.position, speech);
  return x.view({batch.rows, batch.time, -1});
}

std::vector<LossTerm> Objective::loss(T3& t3, const SpeechBatch& batch, bool accuracy) const {
  const torch::Tensor hidden = t3->tfmr->forward(embed(t3, batch)).flatten(0, 1);  // [B T, D]
  // Only states with a label pass the norm and a head.
  const auto term = [&](const char* name, double weight, const TokenTrack& track, Linear& head) {
    const torch::Tensor predicting = t3->tfmr->norm(hidden.index_select(0, track.label_position));
    const TokenLoss part =
        linear_cross_entropy(predicting, head->effective_weight(), track.label, accuracy);
    return LossTerm{name, weight, part.nll, part.correct, track.label_row};
  };
  std::vector<LossTerm> terms;
  if (text_weight_ > 0) terms.push_back(term("text", text_weight_, batch.text, t3->text_head));
  terms.push_back(term("speech", speech_weight_, batch.speech, t3->speech_head));
  return terms;
}

}  // namespace ttsft::chatterbox
