#include "models/qwen3_tts/speaker_encoder.h"

#include <algorithm>

#include "ttsft/core/error.h"
#include "ttsft/nn/weights.h"

namespace ttsft::qwen3_tts {

namespace {

constexpr double kSmallestVariance = 1e-12;

Conv1d pointwise(int64_t in, int64_t out) {
  return Conv1d(ConvOptions{.in = in, .out = out});
}

// Weighted mean and deviation over time, each [B, C, 1]; the weights sum to 1.
std::pair<torch::Tensor, torch::Tensor> statistics(const torch::Tensor& x,
                                                   const torch::Tensor& weights) {
  const torch::Tensor mean = (weights * x).sum(-1, true);
  const torch::Tensor variance = (weights * (x - mean).square_()).sum(-1, true);
  return {mean, variance.clamp_min(kSmallestVariance).sqrt()};
}

}  // namespace

TdnnImpl::TdnnImpl(int64_t in, int64_t out, int64_t kernel, int64_t dilation) {
  conv = register_module(
      "conv", Conv1d(ConvOptions{.in = in, .out = out, .kernel = kernel, .dilation = dilation}));
}

torch::Tensor TdnnImpl::forward(const torch::Tensor& x) {
  const int64_t span = conv->options().effective_kernel() - 1, left = span / 2;
  return conv(span == 0 ? x : torch::reflection_pad1d(x, {left, span - left})).relu_();
}

Res2NetBlockImpl::Res2NetBlockImpl(int64_t channels, int64_t scale, int64_t kernel,
                                   int64_t dilation)
    : scale_(scale) {
  ModuleGroup blocks;
  const int64_t width = channels / scale;
  for (int64_t i = 0; i + 1 < scale; ++i) {
    blocks_.push_back(blocks->add(i, Tdnn(width, width, kernel, dilation)));
  }
  register_module("blocks", blocks);
}

torch::Tensor Res2NetBlockImpl::forward(const torch::Tensor& x) {
  std::vector<torch::Tensor> groups = x.chunk(scale_, 1);
  for (size_t i = 1; i < groups.size(); ++i) {
    groups[i] = blocks_[i - 1](i == 1 ? groups[1] : groups[i] + groups[i - 1]);
  }
  return torch::cat(groups, 1);
}

SeBlockImpl::SeBlockImpl(int64_t channels, int64_t bottleneck) {
  conv1 = register_module("conv1", pointwise(channels, bottleneck));
  conv2 = register_module("conv2", pointwise(bottleneck, channels));
}

torch::Tensor SeBlockImpl::forward(const torch::Tensor& x) {
  const torch::Tensor mean = x.mean(-1, /*keepdim=*/true);  // [B, C, 1]
  return x * conv2(conv1(mean).relu_()).sigmoid_();
}

SeRes2NetBlockImpl::SeRes2NetBlockImpl(int64_t channels, const SpeakerEncoderConfig& config,
                                       int64_t kernel, int64_t dilation) {
  tdnn1 = register_module("tdnn1", Tdnn(channels, channels, 1, 1));
  res2net_block = register_module(
      "res2net_block", Res2NetBlock(channels, config.enc_res2net_scale, kernel, dilation));
  tdnn2 = register_module("tdnn2", Tdnn(channels, channels, 1, 1));
  se_block = register_module("se_block", SeBlock(channels, config.enc_se_channels));
}

torch::Tensor SeRes2NetBlockImpl::forward(const torch::Tensor& x) {
  return se_block(tdnn2(res2net_block(tdnn1(x)))).add_(x);
}

AttentivePoolingImpl::AttentivePoolingImpl(int64_t channels, int64_t attention_channels) {
  ModuleGroup tdnn;
  attention_in_ = tdnn->add("conv", pointwise(3 * channels, attention_channels));
  register_module("tdnn", tdnn);
  conv = register_module("conv", pointwise(attention_channels, channels));
}

torch::Tensor AttentivePoolingImpl::forward(const torch::Tensor& x) {
  const int64_t channels = x.size(1), time = x.size(2);
  const auto [mean, deviation] = statistics(x, torch::full({1}, 1.0 / time, x.options()));
  // Upstream convolves [x, mean, deviation]; the last two are constant in time, so their share of
  // the sum is computed once and not per frame.
  const std::vector<torch::Tensor> weight =
      attention_in_->weight.split({channels, 2 * channels}, 1);
  torch::Tensor scores = torch::conv1d(x, weight[0], attention_in_->bias);
  scores.add_(torch::conv1d(torch::cat({mean, deviation}, 1), weight[1]));
  const torch::Tensor attention = torch::softmax(conv(scores.relu_().tanh_()), -1);
  const auto [pooled, spread] = statistics(x, attention);
  return torch::cat({pooled, spread}, 1);
}

SpeakerEncoderImpl::SpeakerEncoderImpl(const SpeakerEncoderConfig& config)
    : mel_dim_(config.mel_dim), min_frames_(1) {
  const auto& widths = config.enc_channels;
  const auto& kernels = config.enc_kernel_sizes;
  const auto& dilations = config.enc_dilations;
  ModuleGroup blocks;
  first_ = blocks->add(0, Tdnn(mel_dim_, widths[0], kernels[0], dilations[0]));
  for (size_t i = 1; i + 1 < widths.size(); ++i) {
    blocks_.push_back(blocks->add(static_cast<int64_t>(i),
                                  SeRes2NetBlock(widths[i], config, kernels[i], dilations[i])));
  }
  register_module("blocks", blocks);
  mfa =
      register_module("mfa", Tdnn(widths.back(), widths.back(), kernels.back(), dilations.back()));
  asp = register_module("asp", AttentivePooling(widths.back(), config.enc_attention_channels));
  fc = register_module("fc", pointwise(2 * widths.back(), config.enc_dim));
  for (size_t i = 0; i < widths.size(); ++i) {
    const int64_t span = (kernels[i] - 1) * dilations[i];  // a reflection is shorter than the clip
    min_frames_ = std::max(min_frames_, span - span / 2 + 1);
  }
}

void SpeakerEncoderImpl::show(const std::string& stage, const torch::Tensor& x) const {
  if (probe_) probe_(stage, x);
}

torch::Tensor SpeakerEncoderImpl::forward(const torch::Tensor& mel) {
  if (mel.dim() != 3 || mel.size(2) != mel_dim_) {
    throw std::logic_error("SpeakerEncoder: the mel is not [B, T, " + std::to_string(mel_dim_) +
                           "]");
  }
  if (mel.size(1) < min_frames_) {
    throw DataError("reference audio is too short for a speaker vector: " +
                        std::to_string(mel.size(1)) + " frames",
                    "", "give at least a second of speech");
  }
  torch::Tensor x = first_(mel.transpose(1, 2));  // [B, C, T]
  show("block0", x);
  std::vector<torch::Tensor> stages;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i](x);
    show("block" + std::to_string(i + 1), x);
    stages.push_back(x);
  }
  x = mfa(torch::cat(stages, 1));
  show("mfa", x);
  x = asp(x);
  show("asp", x);
  return fc(x).squeeze(-1);  // [B, D]
}

MelOptions speaker_mel_options(const SpeakerEncoderConfig& config) {
  MelOptions options;
  options.stft = {.fft = 1024, .window = 1024, .hop = 256, .pad = (1024 - 256) / 2};
  options.sample_rate = config.sample_rate;
  options.bins = config.mel_dim;
  options.magnitude_epsilon = 1e-9;
  return options;
}

SpeakerEncoder load_speaker_encoder(const std::shared_ptr<const TensorFile>& file,
                                    const Config& config, torch::Device device) {
  // The file decides and not the variant: a fine-tuned custom_voice checkpoint may have kept it.
  if (!file->find("speaker_encoder.fc.weight")) {
    throw DataError("this checkpoint has no speaker encoder", file->path().string(),
                    "a Base checkpoint can turn a reference into a speaker vector");
  }
  SpeakerEncoder encoder(config.speaker_encoder);
  load_strict(*encoder, file, {.device = device, .prefix = "speaker_encoder."});
  encoder->eval();
  return encoder;
}

}  // namespace ttsft::qwen3_tts
