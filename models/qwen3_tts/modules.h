// The language model of Qwen3-TTS: a talker that predicts codebook 0 of each 80 ms frame, and a
// code predictor that predicts codebooks 1..15 of the same frame, one after the other.
//
// Source: qwen_tts 0.1.1, modeling_qwen3_tts.py. Odd choices worth knowing:
//   - "M-RoPE" has three equal position rows, so it is plain half-split RoPE;
//   - the predictor's embedding tables are as wide as the talker; its last table is used only in
//   the talker's input;
//   - small_to_mtp_projection exists only where talker and predictor differ in width (1.7B, not
//   0.6B).
#pragma once

#include <torch/torch.h>

#include <vector>

#include "models/qwen3_tts/config.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft::qwen3_tts {

// talker.model: text and codec embeddings, 28 layers, final norm.
class TalkerModelImpl : public DecoderStackImpl {
 public:
  explicit TalkerModelImpl(const TalkerConfig& config);

  Embedding text_embedding{nullptr}, codec_embedding{nullptr};
  RmsNorm norm{nullptr};
};
TORCH_MODULE(TalkerModel);

// talker.text_projection: text width to talker width.
class TextProjectionImpl : public torch::nn::Module {
 public:
  explicit TextProjectionImpl(const TalkerConfig& config);
  torch::Tensor forward(const torch::Tensor& x) { return linear_fc2(torch::silu(linear_fc1(x))); }

 private:
  Linear linear_fc1{nullptr}, linear_fc2{nullptr};
};
TORCH_MODULE(TextProjection);

// talker.code_predictor.model: 15 embedding tables of talker width, 5 layers, final norm.
class CodePredictorModelImpl : public DecoderStackImpl {
 public:
  explicit CodePredictorModelImpl(const TalkerConfig& config);

  std::vector<Embedding> codec_embedding;
  RmsNorm norm{nullptr};
};
TORCH_MODULE(CodePredictorModel);

class CodePredictorImpl : public torch::nn::Module {
 public:
  explicit CodePredictorImpl(const TalkerConfig& config);

  // To predictor width; the identity where both widths are equal.
  torch::Tensor project(const torch::Tensor& x) {
    return small_to_mtp_projection ? small_to_mtp_projection(x) : x;
  }

  CodePredictorModel model{nullptr};
  Linear small_to_mtp_projection{nullptr};
  std::vector<Linear> lm_head;  // [0] predicts codebook 1
};
TORCH_MODULE(CodePredictor);

class TalkerImpl : public torch::nn::Module {
 public:
  explicit TalkerImpl(const TalkerConfig& config);

  // T(x) of the specification: projected text vectors of ids of any shape, -> [..., H].
  torch::Tensor text(const torch::Tensor& ids) {
    return text_projection(model->text_embedding(ids));
  }
  // E(x): codec-track vectors, [..., H].
  torch::Tensor codec(const torch::Tensor& ids) { return model->codec_embedding(ids); }
  // Sum of the 16 codebooks' vectors of each frame: codes [N, 16] -> [N, H].
  torch::Tensor frames(const torch::Tensor& codes);

  // Inputs of the predictor for whole frames: hidden that predicts the frame [N, H], codes [N, 16]
  // -> the outputs at indices 1..15 after the final norm, [N, 15, P]. Row i of them goes to
  // lm_head[i].
  torch::Tensor predictor_hidden(const torch::Tensor& hidden, const torch::Tensor& codes);

  TalkerModel model{nullptr};
  TextProjection text_projection{nullptr};
  Linear codec_head{nullptr};
  CodePredictor code_predictor{nullptr};
};
TORCH_MODULE(Talker);

// The root whose child "talker" gives the names of model.safetensors.
class Qwen3TtsImpl : public torch::nn::Module {
 public:
  explicit Qwen3TtsImpl(const TalkerConfig& config) {
    talker = register_module("talker", Talker(config));
  }
  Talker talker{nullptr};
};
TORCH_MODULE(Qwen3Tts);

}  // namespace ttsft::qwen3_tts
