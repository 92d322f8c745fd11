// ECAPA-TDNN speaker encoder of the Base checkpoints (Desplanques et al. 2020, without batch norm):
// reference audio -> log-mel -> one vector of the talker's width. Upstream: modeling_qwen3_tts.py,
// Qwen3TTSSpeakerEncoder; every convolution pads by reflection to its own length.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "models/qwen3_tts/config.h"
#include "ttsft/features/mel.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/probe.h"

namespace ttsft::qwen3_tts {

// Convolution to the same length (reflected edges) and ReLU. Child name: conv.
class TdnnImpl : public torch::nn::Module {
 public:
  TdnnImpl(int64_t in, int64_t out, int64_t kernel, int64_t dilation);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C', T]

 private:
  Conv1d conv{nullptr};
};
TORCH_MODULE(Tdnn);

// Channel groups that see each other in turn (Res2Net). Child names: blocks.N.
class Res2NetBlockImpl : public torch::nn::Module {
 public:
  Res2NetBlockImpl(int64_t channels, int64_t scale, int64_t kernel, int64_t dilation);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]

 private:
  int64_t scale_;
  std::vector<Tdnn> blocks_;
};
TORCH_MODULE(Res2NetBlock);

// Squeeze and excitation: channels weighted by what the whole clip holds. Child names: conv1,
// conv2.
class SeBlockImpl : public torch::nn::Module {
 public:
  SeBlockImpl(int64_t channels, int64_t bottleneck);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]

 private:
  Conv1d conv1{nullptr}, conv2{nullptr};
};
TORCH_MODULE(SeBlock);

class SeRes2NetBlockImpl : public torch::nn::Module {
 public:
  SeRes2NetBlockImpl(int64_t channels, const SpeakerEncoderConfig& config, int64_t kernel,
                     int64_t dilation);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]

 private:
  Tdnn tdnn1{nullptr}, tdnn2{nullptr};
  Res2NetBlock res2net_block{nullptr};
  SeBlock se_block{nullptr};
};
TORCH_MODULE(SeRes2NetBlock);

// Attentive statistics pooling: weighted mean and deviation over time. Child names: tdnn.conv,
// conv.
class AttentivePoolingImpl : public torch::nn::Module {
 public:
  AttentivePoolingImpl(int64_t channels, int64_t attention_channels);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, 2 C, 1]

 private:
  Conv1d attention_in_{nullptr}, conv{nullptr};
};
TORCH_MODULE(AttentivePooling);

class SpeakerEncoderImpl : public torch::nn::Module {
 public:
  explicit SpeakerEncoderImpl(const SpeakerEncoderConfig& config);

  // [B, T, mel_dim] -> [B, enc_dim], float32. DataError for a clip of fewer than min_frames().
  torch::Tensor forward(const torch::Tensor& mel);

  int64_t min_frames() const { return min_frames_; }
  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  void show(const std::string& stage, const torch::Tensor& x) const;

  int64_t mel_dim_, min_frames_;
  Tdnn first_{nullptr}, mfa{nullptr};
  std::vector<SeRes2NetBlock> blocks_;
  AttentivePooling asp{nullptr};
  Conv1d fc{nullptr};
  StageProbe probe_;
};
TORCH_MODULE(SpeakerEncoder);

// The log-mel that the speaker encoder was made with, at its sample rate.
MelOptions speaker_mel_options(const SpeakerEncoderConfig& config);

// From a checkpoint's model.safetensors, in float32. DataError when the file holds none.
SpeakerEncoder load_speaker_encoder(const std::shared_ptr<const TensorFile>& file,
                                    const Config& config, torch::Device device);

}  // namespace ttsft::qwen3_tts
