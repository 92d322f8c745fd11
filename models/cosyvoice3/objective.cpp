#include "models/cosyvoice3/objective.h"

#include <algorithm>

#include "ttsft/nn/loss.h"

namespace ttsft::cosyvoice3 {
namespace {

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

// Puts inputs and targets side by side.
class LayoutBuilder {
 public:
  void text(std::span<const int64_t> ids) {
    for (const int64_t id : ids) put(false, id, Layout::kNothing);
  }
  void speech(int64_t id, int64_t target) { put(true, id, target); }
  // The last place predicts the first of the codes, each code the next one, the last code `end`.
  void codes(std::span<const int64_t> ids, int64_t end) {
    layout_.targets.back() = ids.empty() ? end : ids.front();
    for (size_t i = 0; i < ids.size(); ++i) speech(ids[i], i + 1 < ids.size() ? ids[i + 1] : end);
  }
  Layout take() { return std::move(layout_); }

 private:
  void put(bool is_speech, int64_t id, int64_t target) {
    layout_.inputs.push_back({is_speech, id});
    layout_.targets.push_back(target);
  }

  Layout layout_;
};

}  // namespace

Layout unistream(const SpeechSample& sample, const LmConfig& config) {
  LayoutBuilder layout;
  layout.speech(config.sos(), Layout::kNothing);
  layout.text(sample.instruct);
  layout.text(sample.text);
  layout.speech(config.task_id(), Layout::kNothing);
  layout.codes(sample.codes, config.eos());
  return layout.take();
}

Layout bistream(const SpeechSample& sample, const LmConfig& config, int64_t text_block,
                int64_t speech_block) {
  const auto texts = std::ssize(sample.text), codes = std::ssize(sample.codes);
  if (texts == 0 || codes * text_block <= texts * speech_block) return unistream(sample, config);
  LayoutBuilder layout;
  layout.speech(config.sos(), Layout::kNothing);
  layout.text(sample.instruct);
  std::span<const int64_t> text = sample.text, speech = sample.codes;
  while (std::ssize(text) >= text_block) {
    const auto n = static_cast<size_t>(speech_block);
    layout.text(text.first(static_cast<size_t>(text_block)));
    layout.codes(speech.first(std::min(n, speech.size())), config.fill());
    text = text.subspan(static_cast<size_t>(text_block));
    speech = speech.subspan(std::min(n, speech.size()));
  }
  layout.text(text);
  layout.speech(config.task_id(), Layout::kNothing);
  layout.codes(speech, config.eos());
  return layout.take();
}

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor : {&text_ids, &text_position, &speech_ids, &speech_position, &label,
                                &label_position, &label_row})
    visit(*tensor);
}

SpeechBatch collate(std::span<const SpeechSample* const> samples, std::span<const Layout> layouts) {
  SpeechBatch batch;
  batch.rows = std::ssize(samples);
  for (const Layout& layout : layouts)
    batch.time = std::max<int64_t>(batch.time, std::ssize(layout.inputs));
  std::vector<int64_t> text_ids, text_position, speech_ids, speech_position, label, label_position,
      label_row;
  int64_t used = 0;
  for (int64_t b = 0; b < batch.rows; ++b) {
    const Layout& layout = layouts[static_cast<size_t>(b)];
    batch.ids.push_back(samples[static_cast<size_t>(b)]->id);
    used += std::ssize(layout.inputs);
    for (size_t i = 0; i < layout.inputs.size(); ++i) {
      const int64_t place = b * batch.time + static_cast<int64_t>(i);
      const Layout::Input& input = layout.inputs[i];
      (input.speech ? speech_ids : text_ids).push_back(input.id);
      (input.speech ? speech_position : text_position).push_back(place);
      if (layout.targets[i] == Layout::kNothing) continue;
      label.push_back(layout.targets[i]);
      label_position.push_back(place);
      label_row.push_back(b);
    }
  }
  batch.text_ids = long_tensor(text_ids);
  batch.text_position = long_tensor(text_position);
  batch.speech_ids = long_tensor(speech_ids);
  batch.speech_position = long_tensor(speech_position);
  batch.label = long_tensor(label);
  batch.label_position = long_tensor(label_position);
  batch.label_row = long_tensor(label_row);
  batch.positions = batch.rows * batch.time;
  batch.padding = batch.positions - used;
  batch.supervised["speech"] = static_cast<double>(label.size());
  return batch;
}

torch::Tensor embed(Lm& lm, const SpeechBatch& batch) {
  const torch::Tensor values = torch::cat({lm->text(batch.text_ids), lm->speech(batch.speech_ids)});
  const torch::Tensor places = torch::cat({batch.text_position, batch.speech_position});
  return torch::zeros({batch.positions, values.size(1)}, values.options())
      .index_copy(0, places, values)
      .view({batch.rows, batch.time, -1});
}

std::vector<LossTerm> speech_loss(Lm& lm, const SpeechBatch& batch, bool accuracy) {
  const torch::Tensor hidden = lm->model->forward(embed(lm, batch)).flatten(0, 1);  // [B T, D]
  // Only places with a label pass the norm and the head.
  const torch::Tensor states = lm->model->norm(hidden.index_select(0, batch.label_position));
  const TokenLoss loss =
      linear_cross_entropy(states, lm->llm_decoder->effective_weight(), batch.label, accuracy);
  return {{"speech", 1.0, loss.nll, loss.correct, batch.label_row}};
}

}  // namespace ttsft::cosyvoice3
