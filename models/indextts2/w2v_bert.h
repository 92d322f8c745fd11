// w2v-BERT 2.0 (Seamless, Barrault et al. 2023; Hugging Face's Wav2Vec2BertModel) as IndexTTS2
// hears speech: filterbank pairs at 50 Hz -> the hidden state behind 17 conformer layers. The
// layers above are not even loaded.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <vector>

#include "ttsft/features/fbank.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft::indextts2 {

inline constexpr int64_t kSpeechLayers = 17;  // hidden_states[17] of upstream

struct W2vBertConfig {
  int64_t hidden = 1024, heads = 16, ffn = 4096, layers = 24;
  int64_t features = 160;        // width of a pair of frames
  int64_t left = 64, right = 8;  // distances that have an embedding of their own
  int64_t conv_kernel = 31;
  double norm_eps = 1e-5;
  int64_t mels = 80, stride = 2;  // frames that are stacked
  double padding_value = 1;       // of a frame that completes the last pair
};

// config.json and preprocessor_config.json of a folder. DataError: missing, another architecture,
// too few layers.
W2vBertConfig read_w2v_bert_config(const std::filesystem::path& folder);

// Child names: intermediate_dense, output_dense.
class W2vFeedForwardImpl : public torch::nn::Module {
 public:
  explicit W2vFeedForwardImpl(const W2vBertConfig& config);
  torch::Tensor forward(const torch::Tensor& x);  // [B, T, D]

 private:
  Linear intermediate_dense{nullptr}, output_dense{nullptr};
};
TORCH_MODULE(W2vFeedForward);

// What the attention of all layers shares: row i, column j of the distances holds the row of the
// distance table for key j seen from query i.
struct W2vPositions {
  torch::Tensor distances;  // [T, T], int64
  torch::Tensor hidden;     // [B, 1, 1, T] bool, true for keys not attended to; undefined: none
  torch::Tensor real;       // [B, T, 1] float, 0 for frames that the convolutions hear as silence;
                            // undefined: none
};

// Self-attention with an embedding of the distance between query and key ("relative_key", Shaw et
// al. 2018). Child names: linear_q, linear_k, linear_v, linear_out, distance_embedding.
class W2vAttentionImpl : public torch::nn::Module {
 public:
  explicit W2vAttentionImpl(const W2vBertConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const W2vPositions& positions);  // [B, T, D]

 private:
  int64_t heads_;
  Linear linear_q{nullptr}, linear_k{nullptr}, linear_v{nullptr}, linear_out{nullptr};
  Embedding distance_embedding{nullptr};
};
TORCH_MODULE(W2vAttention);

// Causal. Child names: layer_norm, pointwise_conv1, depthwise_conv, depthwise_layer_norm,
// pointwise_conv2.
class W2vConvImpl : public torch::nn::Module {
 public:
  explicit W2vConvImpl(const W2vBertConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const W2vPositions& positions);  // [B, T, D]

 private:
  LayerNorm layer_norm{nullptr}, depthwise_layer_norm{nullptr};
  Conv1d pointwise_conv1{nullptr}, depthwise_conv{nullptr}, pointwise_conv2{nullptr};
};
TORCH_MODULE(W2vConv);

// A conformer layer: half feed-forward, attention, convolution, half feed-forward, each with a norm
// in front, and one behind all.
class W2vLayerImpl : public torch::nn::Module {
 public:
  explicit W2vLayerImpl(const W2vBertConfig& config);
  torch::Tensor forward(const torch::Tensor& x, const W2vPositions& positions);  // [B, T, D]

 private:
  LayerNorm ffn1_layer_norm{nullptr}, self_attn_layer_norm{nullptr}, ffn2_layer_norm{nullptr};
  LayerNorm final_layer_norm{nullptr};
  W2vFeedForward ffn1{nullptr}, ffn2{nullptr};
  W2vAttention self_attn{nullptr};
  W2vConv conv_module{nullptr};
};
TORCH_MODULE(W2vLayer);

// Child names: feature_projection.{layer_norm, projection}, encoder.layers.N.
class W2vBertImpl : public torch::nn::Module {
 public:
  explicit W2vBertImpl(const W2vBertConfig& config);

  // features [B, T, 160]; valid: frames of each row that are attended to. The others of a row are
  // computed too, from what precedes them, so each row comes out as it would alone.
  torch::Tensor forward(const torch::Tensor& features, const RowLengths& valid);  // [B, T, D]

  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  W2vBertConfig config_;
  LayerNorm layer_norm_{nullptr};
  Linear projection_{nullptr};
  std::vector<W2vLayer> layers_;
  StageProbe probe_;
};
TORCH_MODULE(W2vBert);

// Of one recording. With an odd number of 10 ms frames the last pair is half padding: it has a
// vector, and upstream uses it, but nothing attends to it and it does not count as valid.
struct SpeechFeatures {
  torch::Tensor frames;  // [ceil(n / 2), width]
  int64_t valid = 0;     // floor(n / 2)
};

// From recordings to what the GPT's conditioner and the semantic codec read.
class SpeechEncoder {
 public:
  // The folder of w2v-BERT, and wav2vec2bert_stats.pt. DataError when they do not fit each other.
  // float32.
  SpeechEncoder(const std::filesystem::path& folder, const std::filesystem::path& stats,
                torch::Device device);

  // Recordings at 16 kHz, full scale 1, each [N]: normalised hidden states [T, hidden] at 50 Hz,
  // on the encoder's device. Each as if alone, however they are batched. DataError for less than
  // two frames (560 samples).
  std::vector<SpeechFeatures> encode(const std::vector<torch::Tensor>& waves);

  // What w2v-BERT reads of one recording: stacked pairs [T, 160].
  SpeechFeatures input(const torch::Tensor& wave) const;

  W2vBert& network() { return network_; }
  const W2vBertConfig& config() const { return config_; }

 private:
  W2vBertConfig config_;
  torch::Device device_;
  W2vBert network_{nullptr};
  torch::Tensor mean_, deviation_;  // [hidden]
  FbankExtractor fbank_;
};

}  // namespace ttsft::indextts2
