// From prepared rows to the two losses.
//
// Which hidden state predicts what (specification section 8, upstream's dataset.py and sft_12hz.py
// without their faults):
//   - the talker's hidden state at position q - 1 predicts codebook 0 at position q (codec_eos
//   after the last frame);
//   - the same hidden state, q - 1, is the first input of the code predictor for the frame at q;
//   - index i of the predictor (1..15) predicts codebook i of that frame through lm_head[i - 1].
// The hidden state is not detached, so the sub-talker loss trains the talker too.
#pragma once

#include <torch/torch.h>

#include <map>
#include <span>
#include <string>
#include <vector>

#include "models/qwen3_tts/modules.h"
#include "models/qwen3_tts/speakers.h"
#include "ttsft/model/language_stage.h"

namespace ttsft::qwen3_tts {

struct SpeechSample : Sample {
  std::vector<int64_t> text;  // ids of the text alone
  torch::Tensor codes;        // [F, 16], int16: all of a set stay in memory
  torch::Tensor speaker;      // [H], float32
  int64_t language = -1;      // codec id of the language tag; -1: auto
};

struct SpeechBatch : Batch {
  int64_t rows = 0, time = 0;
  // The text track of every real position. It repeats few ids (tts_pad stands under every frame):
  // each distinct one is projected once.
  torch::Tensor position;    // [P], flat index into [B * T]
  torch::Tensor text_ids;    // [U], distinct
  torch::Tensor text_index;  // [P] into text_ids
  // The codec track: tags, paddings and ends; frames; speakers.
  torch::Tensor codec_position;    // [Q], flat index into [B * T]
  torch::Tensor codec_ids;         // [Q]
  torch::Tensor frame_position;    // [N]
  torch::Tensor frame_codes;       // [N, 16]
  torch::Tensor frame_row;         // [N]
  torch::Tensor speaker_position;  // [B]
  torch::Tensor speaker;           // [B, H], float32
  // Targets.
  torch::Tensor label_position;  // [L], flat index of the position that predicts (q - 1)
  torch::Tensor label;           // [L]
  torch::Tensor label_row;       // [L]
  torch::Tensor frame_label;     // [N], which label a frame is: all but the ends

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

// Tags that open the codec track: [nothink, think_bos, think_eos], or with a language
// [think, think_bos, language, think_eos]. Shared by training and synthesis.
std::vector<int64_t> codec_tags(const TalkerConfig& config, int64_t language);

class Objective {
 public:
  Objective(const Config& config, std::vector<int64_t> role, double sub_talker_weight);

  // Positions that a sample takes in a batch.
  int64_t length(const SpeechSample& sample) const;
  SpeechBatch collate(std::span<const SpeechSample* const> samples) const;

  // Talker inputs [B, T, H]: text track + codec track, each masked after its own projection.
  torch::Tensor embed(Talker& talker, const SpeechBatch& batch) const;
  std::vector<LossTerm> loss(Talker& talker, const SpeechBatch& batch, bool accuracy) const;
  // Of the code predictor at all frames: logits [N, 15, V] and the codes they should name.
  Probe depth_probe(Talker& talker, const SpeechBatch& batch) const;

 private:
  torch::Tensor predicting(Talker& talker, const SpeechBatch& batch) const;  // [L, H]

  Config config_;
  std::vector<int64_t> role_;
  double sub_talker_weight_;
};

}  // namespace ttsft::qwen3_tts
