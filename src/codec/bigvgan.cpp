#include "ttsft/codec/bigvgan.h"

#include <numeric>

#include "ttsft/io/json_reader.h"
#include "ttsft/nn/weights.h"

namespace ttsft {

namespace {

constexpr int64_t kTaps = 12;          // of the low-pass filters
constexpr int64_t kReach = kTaps / 4;  // frames that the interpolation looks to each side
constexpr int64_t kOuterKernel = 7;    // of conv_pre and conv_post

int64_t half(int64_t kernel) {
  return (kernel - 1) / 2;
}

// One copy for each channel of a kernel [phases, 1, taps], for a depthwise convolution.
torch::Tensor for_channels(const torch::Tensor& kernel, int64_t channels) {
  return kernel.repeat({channels, 1, 1});
}

}  // namespace

int64_t BigVganOptions::samples_per_frame() const {
  return std::accumulate(up_rates.begin(), up_rates.end(), int64_t{1}, std::multiplies<>());
}

BigVganOptions read_bigvgan_options(const std::filesystem::path& config) {
  const auto json = read_json_object(config);
  const JsonReader reader(json, config.string());
  reader.require("resblock", "1");
  reader.require("activation", "snakebeta");
  reader.require("snake_logscale", true);
  BigVganOptions o;
  o.mels = reader.positive("num_mels");
  o.channels = reader.positive("upsample_initial_channel");
  o.sample_rate = reader.positive("sampling_rate");
  o.up_rates = reader.positives("upsample_rates");
  o.up_kernels = reader.positives("upsample_kernel_sizes");
  o.block_kernels = reader.positives("resblock_kernel_sizes");
  reader.optional("use_bias_at_final", o.final_bias);
  reader.optional("use_tanh_at_final", o.final_tanh);
  const auto& dilations = reader.at("resblock_dilation_sizes");
  if (!dilations.is_array() || dilations.size() != o.block_kernels.size()) {
    reader.fail("resblock_dilation_sizes", "is not one list for each of resblock_kernel_sizes");
  }
  for (const auto& list : dilations) {
    const nlohmann::ordered_json one = {{"resblock_dilation_sizes", list}};
    o.block_dilations.push_back(
        JsonReader(one, config.string()).positives("resblock_dilation_sizes"));
  }
  if (o.up_kernels.size() != o.up_rates.size()) {
    reader.fail("upsample_kernel_sizes", "is not one number for each of upsample_rates");
  }
  for (size_t i = 0; i < o.up_rates.size(); ++i) {
    // Otherwise the output is not `rate` samples for each input.
    if (o.up_kernels[i] < o.up_rates[i] || (o.up_kernels[i] - o.up_rates[i]) % 2 != 0) {
      reader.fail("upsample_kernel_sizes", "has a " + std::to_string(o.up_kernels[i]) +
                                               " for an upsampling by " +
                                               std::to_string(o.up_rates[i]));
    }
  }
  if (o.channels % (int64_t{1} << o.up_rates.size()) != 0) {
    reader.fail("upsample_initial_channel", "cannot be halved as often as upsample_rates ask");
  }
  return o;
}

AntiAliasedSnakeImpl::AntiAliasedSnakeImpl(int64_t channels) {
  act = register_module("act", SnakeBeta(channels));
  auto upsample = register_module("upsample", ModuleGroup());
  up_filter_ = upsample->register_buffer("filter", torch::empty({1, 1, kTaps}));
  auto lowpass = register_module("downsample", ModuleGroup())->add("lowpass", ModuleGroup());
  down_filter_ = lowpass->register_buffer("filter", torch::empty({1, 1, kTaps}));
}

torch::Tensor AntiAliasedSnakeImpl::forward(const torch::Tensor& x, const Rows& rows) {
  const int64_t channels = x.size(1);
  if (!up_.defined()) {
    const c10::InferenceMode normal(false);  // they outlive this call
    const torch::NoGradGuard no_gradients;
    // Upstream inserts zeros and filters; half of the products are with those zeros. Sample 2n of
    // the result is made of the odd taps and x[n-3 .. n+2], sample 2n+1 of the even taps and
    // x[n-2 .. n+3].
    const torch::Tensor taps = up_filter_.flatten().flip(0) * 2;
    const torch::Tensor none = torch::zeros({1}, taps.options());
    const torch::Tensor even = torch::cat({taps.slice(0, 0, kTaps, 2), none});
    const torch::Tensor odd = torch::cat({none, taps.slice(0, 1, kTaps, 2)});
    up_ = for_channels(torch::stack({even, odd}).unsqueeze(1), channels);  // [2C, 1, 7]
    down_ = for_channels(down_filter_, channels);                          // [C, 1, 12]
  }
  const int64_t padding = 0;
  torch::Tensor y = rows.pad_replicate(x, kReach, kReach);
  y = torch::conv1d(y, up_, {}, 1, padding, 1, channels);        // [B, 2C, T]
  y = y.unflatten(1, {channels, 2}).transpose(2, 3).flatten(2);  // [B, C, 2T]
  y = rows.scaled(2).pad_replicate(act(y), kTaps / 2 - 1, kTaps / 2);
  return torch::conv1d(y, down_, {}, 2, padding, 1, channels);  // [B, C, T]
}

AmpBlockImpl::AmpBlockImpl(int64_t channels, int64_t kernel, const std::vector<int64_t>& dilations)
    : ResBlockImpl(channels, kernel, dilations) {
  auto activations = register_module("activations", ModuleGroup());
  for (int64_t i = 0; i < 2 * std::ssize(dilations); ++i) {
    activations_.push_back(activations->add(i, AntiAliasedSnake(channels)));
  }
}

torch::Tensor AmpBlockImpl::activate(size_t pair, bool second, const torch::Tensor& x,
                                     const Rows& rows) {
  return activations_[2 * pair + (second ? 1 : 0)](x, rows);
}

BigVganImpl::BigVganImpl(const BigVganOptions& options) : options_(options) {
  const BigVganOptions& o = options_;
  conv_pre = register_module("conv_pre", Conv1d(ConvOptions{o.mels, o.channels, kOuterKernel}));
  auto ups = register_module("ups", ModuleGroup());
  auto resblocks = register_module("resblocks", ModuleGroup());
  int64_t channels = o.channels;
  for (size_t i = 0; i < o.up_rates.size(); ++i) {
    auto up = ups->add(static_cast<int64_t>(i), ModuleGroup());
    ups_.push_back(up->add(
        0, ConvTranspose1d(ConvOptions{channels, channels / 2, o.up_kernels[i], o.up_rates[i]})));
    channels /= 2;
    for (size_t j = 0; j < o.block_kernels.size(); ++j) {
      resblocks_.push_back(resblocks->add(
          std::ssize(resblocks_), AmpBlock(channels, o.block_kernels[j], o.block_dilations[j])));
    }
  }
  activation_post = register_module("activation_post", AntiAliasedSnake(channels));
  ConvOptions last{channels, 1, kOuterKernel};
  last.bias = o.final_bias;
  conv_post = register_module("conv_post", Conv1d(last));
}

torch::Tensor BigVganImpl::forward(const torch::Tensor& mel, Rows rows, const StageProbe& probe) {
  const BigVganOptions& o = options_;
  const auto tap = [&](const char* stage, const torch::Tensor& result) {
    if (probe) probe(stage, result);
  };
  torch::Tensor x = conv_pre(mel, half(kOuterKernel));
  tap("conv_pre", x);
  const size_t kernels = o.block_kernels.size();
  for (size_t i = 0; i < ups_.size(); ++i) {
    x = torch::conv_transpose1d(rows.zero_(x), ups_[i]->weight, ups_[i]->bias, o.up_rates[i],
                                (o.up_kernels[i] - o.up_rates[i]) / 2);
    rows = rows.scaled(o.up_rates[i]);
    if (i == 0) tap("ups0", x);
    torch::Tensor sum;
    for (size_t j = 0; j < kernels; ++j) {
      const bool first = i == 0 && j == 0;
      const torch::Tensor y = resblocks_[i * kernels + j](x, rows, first ? probe : StageProbe{});
      sum = j == 0 ? y : sum + y;
    }
    x = sum / static_cast<double>(kernels);
    if (i == 0) tap("stage0", x);
  }
  x = conv_post(rows.zero_(activation_post(x, rows)), half(kOuterKernel)).squeeze(1);
  return o.final_tanh ? torch::tanh(x) : x.clamp(-1, 1);
}

BigVgan load_bigvgan(const std::shared_ptr<const TensorFile>& file, const BigVganOptions& options,
                     torch::Device device) {
  const std::string prefix = file->find("generator.conv_pre.bias") ? "generator." : "";
  BigVgan vocoder(options);
  LoadOptions load;
  load.device = device;
  load_strict(*vocoder, fold_weight_norm(file, prefix), load);
  vocoder->eval();
  return vocoder;
}

}  // namespace ttsft
