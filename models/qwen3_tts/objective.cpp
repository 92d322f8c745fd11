#include "models/qwen3_tts/objective.h"

#include <algorithm>
#include <unordered_map>

#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/loss.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr int64_t kPredictorFrames = 512;  // run at once

torch::Tensor long_tensor(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

// What the code predictor completes a frame with: all but the first code. [N, 16] -> [N, 15]
torch::Tensor predicted_codes(const SpeechBatch& batch) {
  return batch.frame_codes.narrow(1, 1, batch.frame_codes.size(1) - 1);
}

}  // namespace

std::vector<int64_t> codec_tags(const TalkerConfig& c, int64_t language) {
  if (language < 0) return {c.codec_nothink_id, c.codec_think_bos_id, c.codec_think_eos_id};
  return {c.codec_think_id, c.codec_think_bos_id, language, c.codec_think_eos_id};
}

void SpeechBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor : {&position, &text_ids, &text_index, &codec_position, &codec_ids,
                                &frame_position, &frame_codes, &frame_row, &speaker_position,
                                &speaker, &label_position, &label, &label_row, &frame_label})
    visit(*tensor);
}

Objective::Objective(const Config& config, std::vector<int64_t> role, double sub_talker_weight)
    : config_(config), role_(std::move(role)), sub_talker_weight_(sub_talker_weight) {}

int64_t Objective::length(const SpeechSample& sample) const {
  const int64_t tags = sample.language < 0 ? 3 : 4;
  // role, tags, speaker, tts_bos, text, tts_eos, codec_bos, frames, codec_eos
  return 3 + tags + 1 + 1 + static_cast<int64_t>(sample.text.size()) + 1 + 1 +
         sample.codes.size(0) + 1;
}

SpeechBatch Objective::collate(std::span<const SpeechSample* const> samples) const {
  const TalkerConfig& c = config_.talker;
  SpeechBatch batch;
  batch.rows = std::ssize(samples);
  for (const SpeechSample* sample : samples) batch.time = std::max(batch.time, length(*sample));

  std::vector<int64_t> position, text_ids, text_index, codec_position, codec_ids, frame_position,
      frame_row, speaker_position, label_position, label, label_row, frame_label;
  std::unordered_map<int64_t, int64_t> slot_of;  // of text_ids
  std::vector<torch::Tensor> speakers, frames;
  for (int64_t b = 0; b < batch.rows; ++b) {
    const SpeechSample& sample = *samples[static_cast<size_t>(b)];
    batch.ids.push_back(sample.id);
    int64_t place = b * batch.time;
    const auto put_text = [&](int64_t id) {
      const auto [slot, fresh] = slot_of.try_emplace(id, std::ssize(text_ids));
      if (fresh) text_ids.push_back(id);
      text_index.push_back(slot->second);
      position.push_back(place);
      return place++;
    };
    const auto put = [&](int64_t text, int64_t codec) {
      codec_position.push_back(place);
      codec_ids.push_back(codec);
      return put_text(text);
    };
    const auto expect = [&](int64_t at, int64_t target) {
      label_position.push_back(at - 1);
      label.push_back(target);
      label_row.push_back(b);
    };
    for (int64_t id : role_) put_text(id);
    for (int64_t tag : codec_tags(c, sample.language)) put(config_.tts_pad_token_id, tag);
    speaker_position.push_back(put_text(config_.tts_pad_token_id));
    put(config_.tts_bos_token_id, c.codec_pad_id);
    for (int64_t id : sample.text) put(id, c.codec_pad_id);
    put(config_.tts_eos_token_id, c.codec_pad_id);
    put(config_.tts_pad_token_id, c.codec_bos_id);
    const auto code = sample.codes.accessor<int16_t, 2>();
    for (int64_t f = 0; f < sample.codes.size(0); ++f) {
      frame_label.push_back(std::ssize(label));
      frame_position.push_back(put_text(config_.tts_pad_token_id));
      frame_row.push_back(b);
      expect(frame_position.back(), code[f][0]);
    }
    expect(put(config_.tts_pad_token_id, c.codec_eos_token_id), c.codec_eos_token_id);
    speakers.push_back(sample.speaker);
    frames.push_back(sample.codes);
  }
  batch.position = long_tensor(position);
  batch.text_ids = long_tensor(text_ids);
  batch.text_index = long_tensor(text_index);
  batch.codec_position = long_tensor(codec_position);
  batch.codec_ids = long_tensor(codec_ids);
  batch.frame_position = long_tensor(frame_position);
  batch.frame_codes = torch::cat(frames).to(torch::kInt64);
  batch.frame_row = long_tensor(frame_row);
  batch.speaker_position = long_tensor(speaker_position);
  batch.speaker = torch::stack(speakers);
  batch.label_position = long_tensor(label_position);
  batch.label = long_tensor(label);
  batch.label_row = long_tensor(label_row);
  batch.frame_label = long_tensor(frame_label);
  batch.positions = batch.rows * batch.time;
  batch.padding = batch.positions - std::ssize(position);
  batch.supervised["talker"] = static_cast<double>(label.size());
  batch.supervised["sub_talker"] =
      static_cast<double>(frame_row.size()) * static_cast<double>(c.num_code_groups - 1);
  return batch;
}

torch::Tensor Objective::embed(Talker& talker, const SpeechBatch& batch) const {
  const torch::Tensor text = shared_rows(talker->text(batch.text_ids), batch.text_index);  // [P, H]
  const torch::Tensor codec =
      torch::cat({talker->codec(batch.codec_ids), talker->frames(batch.frame_codes),
                  batch.speaker.to(text.scalar_type())});
  const torch::Tensor codec_places =
      torch::cat({batch.codec_position, batch.frame_position, batch.speaker_position});
  const torch::Tensor nothing = torch::zeros({batch.positions, text.size(1)}, text.options());
  return (nothing.index_copy(0, batch.position, text) + nothing.index_copy(0, codec_places, codec))
      .view({batch.rows, batch.time, -1});
}

// What the label positions predict from, [L, H]. Only they pass the norm and the head: the others'
// logits nobody reads. Right padding needs no mask: attention is causal, so no real position sees
// it.
torch::Tensor Objective::predicting(Talker& talker, const SpeechBatch& batch) const {
  const torch::Tensor hidden = talker->model->forward(embed(talker, batch));  // [B, T, H]
  return talker->model->norm(
      hidden.reshape({-1, hidden.size(2)}).index_select(0, batch.label_position));
}

Probe Objective::depth_probe(Talker& talker, const SpeechBatch& batch) const {
  const torch::Tensor h = predicting(talker, batch).index_select(0, batch.frame_label);
  const torch::Tensor outputs = talker->predictor_hidden(h, batch.frame_codes);  // [N, 15, P]
  std::vector<torch::Tensor> logits;
  for (const torch::Tensor& output : outputs.unbind(1))
    logits.push_back(talker->code_predictor->lm_head[logits.size()](output));
  return {torch::stack(logits, 1).to(torch::kFloat32), predicted_codes(batch)};
}

std::vector<LossTerm> Objective::loss(Talker& talker, const SpeechBatch& batch,
                                      bool accuracy) const {
  const torch::Tensor states = predicting(talker, batch);  // [L, H]
  const TokenLoss first =
      linear_cross_entropy(states, talker->codec_head->effective_weight(), batch.label, accuracy);
  LossTerm main{"talker", 1.0, first.nll, first.correct, batch.label_row};

  const torch::Tensor h = states.index_select(0, batch.frame_label);  // [N, H]
  // 16 positions a frame make the predictor's activations the larger part: those of a chunk of
  // frames are made again when its gradient is taken.
  const torch::Tensor outputs = checkpoint_rows(  // [N, 15, P]
      [talker, codes = batch.frame_codes](const torch::Tensor& chunk, int64_t frame,
                                          int64_t n) mutable {
        return talker->predictor_hidden(chunk, codes.narrow(0, frame, n));
      },
      h, kPredictorFrames);
  // Unbound, its gradient is put together at once; 15 selections would each fill one of its own.
  const std::vector<torch::Tensor> by_codebook = outputs.unbind(1);
  const std::vector<torch::Tensor> targets = predicted_codes(batch).unbind(1);
  std::vector<torch::Tensor> nll, correct;
  for (size_t i = 0; i < by_codebook.size(); ++i) {
    const torch::Tensor weight = talker->code_predictor->lm_head[i]->effective_weight();
    const TokenLoss part = linear_cross_entropy(by_codebook[i], weight, targets[i], accuracy);
    nll.push_back(part.nll);
    if (accuracy) correct.push_back(part.correct);
  }
  LossTerm sub{"sub_talker", sub_talker_weight_, torch::stack(nll, 1),
               accuracy ? torch::stack(correct, 1) : torch::Tensor(), batch.frame_row};
  return {main, sub};
}

}  // namespace ttsft::qwen3_tts
