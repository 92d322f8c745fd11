#include "models/qwen3_tts/objective.h"

#include <algorithm>
#include <unordered_map>

#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/loss.h"

namespace ttsft::qwen3_tts {
namespace {

constexpr int64_t kNoLabel = -100;
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

SpeechBatch SpeechBatch::to(torch::Device device) const {
  SpeechBatch moved = *this;
  for (torch::Tensor SpeechBatch::*field :
       {&SpeechBatch::input_ids, &SpeechBatch::codec_ids, &SpeechBatch::text_embedding_mask,
        &SpeechBatch::codec_embedding_mask, &SpeechBatch::codec_mask, &SpeechBatch::attention_mask,
        &SpeechBatch::codec_0_labels, &SpeechBatch::speaker, &SpeechBatch::speaker_position,
        &SpeechBatch::text_ids, &SpeechBatch::text_index, &SpeechBatch::frame_codes,
        &SpeechBatch::frame_position, &SpeechBatch::frame_row, &SpeechBatch::label_position,
        &SpeechBatch::label, &SpeechBatch::label_row, &SpeechBatch::frame_label})
    moved.*field = (moved.*field).to(device, /*non_blocking=*/true);
  return moved;
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
  const int64_t rows = static_cast<int64_t>(samples.size()), groups = c.num_code_groups;
  int64_t longest = 0;
  for (const SpeechSample* sample : samples) longest = std::max(longest, length(*sample));

  SpeechBatch batch;
  batch.input_ids = torch::zeros({rows, longest, 2}, torch::kInt64);
  batch.codec_ids = torch::zeros({rows, longest, groups}, torch::kInt64);
  batch.text_embedding_mask = torch::zeros({rows, longest, 1}, torch::kBool);
  batch.codec_embedding_mask = torch::zeros({rows, longest, 1}, torch::kBool);
  batch.codec_mask = torch::zeros({rows, longest}, torch::kBool);
  batch.attention_mask = torch::zeros({rows, longest}, torch::kInt64);
  batch.codec_0_labels = torch::full({rows, longest}, kNoLabel, torch::kInt64);
  auto ids = batch.input_ids.accessor<int64_t, 3>();
  auto codes = batch.codec_ids.accessor<int64_t, 3>();
  auto text_mask = batch.text_embedding_mask.accessor<bool, 3>();
  auto codec_mask = batch.codec_embedding_mask.accessor<bool, 3>();
  auto is_frame = batch.codec_mask.accessor<bool, 2>();
  auto attended = batch.attention_mask.accessor<int64_t, 2>();
  auto labels = batch.codec_0_labels.accessor<int64_t, 2>();

  std::vector<int64_t> speaker_position, frame_position, frame_row, label_position, label,
      label_row, frame_label;
  std::vector<torch::Tensor> speakers, frames;
  int64_t used = 0;
  for (int64_t b = 0; b < rows; ++b) {
    const SpeechSample& sample = *samples[static_cast<size_t>(b)];
    batch.ids.push_back(sample.id);
    int64_t p = 0;
    const auto put = [&](int64_t text, int64_t codec, bool has_codec) {
      ids[b][p][0] = text;
      ids[b][p][1] = codec;
      text_mask[b][p][0] = true;
      codec_mask[b][p][0] = has_codec;
      attended[b][p] = 1;
      return p++;
    };
    const auto expect = [&](int64_t position, int64_t target) {
      labels[b][position] = target;
      label_position.push_back(b * longest + position - 1);
      label.push_back(target);
      label_row.push_back(b);
    };
    for (int64_t id : role_) put(id, 0, false);
    for (int64_t tag : codec_tags(c, sample.language)) put(config_.tts_pad_token_id, tag, true);
    speaker_position.push_back(b * longest + put(config_.tts_pad_token_id, 0, false));
    put(config_.tts_bos_token_id, c.codec_pad_id, true);
    for (int64_t id : sample.text) put(id, c.codec_pad_id, true);
    put(config_.tts_eos_token_id, c.codec_pad_id, true);
    put(config_.tts_pad_token_id, c.codec_bos_id, true);
    const auto code = sample.codes.accessor<int64_t, 2>();
    for (int64_t f = 0; f < sample.codes.size(0); ++f) {
      const int64_t position = put(config_.tts_pad_token_id, code[f][0], true);
      is_frame[b][position] = true;
      for (int64_t k = 0; k < groups; ++k) codes[b][position][k] = code[f][k];
      frame_label.push_back(static_cast<int64_t>(label.size()));
      expect(position, code[f][0]);
      frame_position.push_back(b * longest + position);
      frame_row.push_back(b);
    }
    expect(put(config_.tts_pad_token_id, c.codec_eos_token_id, true), c.codec_eos_token_id);
    speakers.push_back(sample.speaker);
    frames.push_back(sample.codes);
    used += p;
  }

  // The text track repeats few ids (tts_pad stands under every frame): each distinct one is
  // projected once.
  std::unordered_map<int64_t, int64_t> slot_of;
  std::vector<int64_t> distinct, index;
  for (int64_t b = 0; b < rows; ++b) {
    for (int64_t p = 0; p < longest; ++p) {
      const auto [slot, fresh] =
          slot_of.try_emplace(ids[b][p][0], static_cast<int64_t>(distinct.size()));
      if (fresh) distinct.push_back(ids[b][p][0]);
      index.push_back(slot->second);
    }
  }
  batch.speaker = torch::stack(speakers);
  batch.speaker_position = long_tensor(speaker_position);
  batch.text_ids = long_tensor(distinct);
  batch.text_index = long_tensor(index);
  batch.frame_codes = torch::cat(frames);
  batch.frame_position = long_tensor(frame_position);
  batch.frame_row = long_tensor(frame_row);
  batch.label_position = long_tensor(label_position);
  batch.label = long_tensor(label);
  batch.label_row = long_tensor(label_row);
  batch.frame_label = long_tensor(frame_label);
  batch.positions = rows * longest;
  batch.padding = batch.positions - used;
  batch.supervised["talker"] = static_cast<double>(label.size());
  batch.supervised["sub_talker"] =
      static_cast<double>(frame_row.size()) * static_cast<double>(groups - 1);
  return batch;
}

torch::Tensor Objective::embed(Talker& talker, const SpeechBatch& batch) const {
  const int64_t rows = batch.input_ids.size(0), time = batch.input_ids.size(1);
  const torch::Tensor text = talker->text(batch.text_ids).index_select(0, batch.text_index) *
                             batch.text_embedding_mask.view({rows * time, 1});  // [B T, H]
  torch::Tensor codec = talker->codec(batch.input_ids.select(2, 1).reshape({-1})) *
                        batch.codec_embedding_mask.view({rows * time, 1});  // [B T, H]
  codec = codec.index_copy(0, batch.frame_position, talker->frames(batch.frame_codes));
  codec = codec.index_copy(0, batch.speaker_position, batch.speaker.to(codec.scalar_type()));
  return (text + codec).view({rows, time, -1});
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
  for (int64_t i = 0; i < outputs.size(1); ++i)
    logits.push_back(talker->code_predictor->lm_head[static_cast<size_t>(i)](outputs.select(1, i)));
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
  const torch::Tensor targets = predicted_codes(batch);  // [N, 15]
  std::vector<torch::Tensor> nll, correct;
  for (int64_t i = 0; i < outputs.size(1); ++i) {
    const torch::Tensor weight =
        talker->code_predictor->lm_head[static_cast<size_t>(i)]->effective_weight();
    const TokenLoss part =
        linear_cross_entropy(outputs.select(1, i), weight, targets.select(1, i), accuracy);
    nll.push_back(part.nll);
    if (accuracy) correct.push_back(part.correct);
  }
  LossTerm sub{"sub_talker", sub_talker_weight_, torch::stack(nll, 1),
               accuracy ? torch::stack(correct, 1) : torch::Tensor(), batch.frame_row};
  return {main, sub};
}

}  // namespace ttsft::qwen3_tts
