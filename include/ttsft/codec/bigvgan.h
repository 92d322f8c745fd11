// BigVGAN v2 vocoder: mel frames -> wave (Lee et al. 2023, arXiv 2206.04658; upstream:
// github.com/NVIDIA/BigVGAN, bigvgan.py). Its snake activations run at twice the rate between two
// low-pass filters, so that the harmonics they make do not fold back.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "ttsft/codec/resblock.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/probe.h"

namespace ttsft {

struct BigVganOptions {
  int64_t mels = 0, channels = 0;  // channels: behind conv_pre, halved by each upsampling
  std::vector<int64_t> up_rates, up_kernels;
  std::vector<int64_t> block_kernels;
  std::vector<std::vector<int64_t>> block_dilations;  // one list for each kernel
  bool final_bias = true;
  bool final_tanh = true;  // else samples are clamped
  int64_t sample_rate = 22050;

  int64_t samples_per_frame() const;
};

// From the config.json beside the weights. DataError for a variant that is not known: another block
// ("resblock": "2"), another activation.
BigVganOptions read_bigvgan_options(const std::filesystem::path& config);

// Twice the rate, SnakeBeta, half the rate. Child names: act, upsample.filter,
// downsample.lowpass.filter.
class AntiAliasedSnakeImpl : public torch::nn::Module {
 public:
  explicit AntiAliasedSnakeImpl(int64_t channels);
  // [B, C, T]; beyond a row's end anything goes in and comes out.
  torch::Tensor forward(const torch::Tensor& x, const Rows& rows = {});

 private:
  SnakeBeta act{nullptr};
  torch::Tensor up_filter_, down_filter_;  // [1, 1, 12], as in the file
  torch::Tensor up_, down_;                // made of them at the first use
};
TORCH_MODULE(AntiAliasedSnake);

// Child names beside those of ResBlock: activations, two for each dilation.
class AmpBlockImpl : public ResBlockImpl {
 public:
  AmpBlockImpl(int64_t channels, int64_t kernel, const std::vector<int64_t>& dilations);

 protected:
  torch::Tensor activate(size_t pair, bool second, const torch::Tensor& x,
                         const Rows& rows) override;

 private:
  std::vector<AntiAliasedSnake> activations_;
};
TORCH_MODULE(AmpBlock);

// Expects folded weight norm.
class BigVganImpl : public torch::nn::Module {
 public:
  explicit BigVganImpl(const BigVganOptions& options);

  // [B, mels, T] -> [B, N], in [-1, 1]. Rows of unequal length must be zero beyond their ends; each
  // wave is what it would be alone, and anything behind its end. Stages: conv_pre, and of the first
  // scale ups0, act0 (its first activation), stage0.
  torch::Tensor forward(const torch::Tensor& mel, Rows rows = {}, const StageProbe& probe = {});

  const BigVganOptions& options() const { return options_; }

 private:
  BigVganOptions options_;
  Conv1d conv_pre{nullptr}, conv_post{nullptr};
  std::vector<ConvTranspose1d> ups_;
  std::vector<AmpBlock> resblocks_;
  AntiAliasedSnake activation_post{nullptr};
};
TORCH_MODULE(BigVgan);

// The generator in a file, as the state dict itself or under "generator", its weight norm folded
// already or not. float32.
BigVgan load_bigvgan(const std::shared_ptr<const TensorFile>& file, const BigVganOptions& options,
                     torch::Device device);

}  // namespace ttsft
