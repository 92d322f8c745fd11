// HiFT vocoder: mel frames -> wave, by a neural source filter and an inverse STFT (HiFTNet, Li et
// al. 2023). In Chatterbox and CosyVoice. Upstream: cosyvoice/hifigan/{generator,f0_predictor}.py.
//   mel -> f0 -> sines at its harmonics and noise = source -> STFT -+ (added at every scale)
//   mel -> conv_pre -> [ups, residual blocks] x 3 ------------------+-> conv_post -> inverse STFT
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "ttsft/codec/resblock.h"
#include "ttsft/features/stft.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft {

struct HiftOptions {
  // What shapes tell.
  int64_t mels = 0, channels = 0;  // channels: behind conv_pre, halved by each upsampling
  int64_t pre_kernel = 0, post_kernel = 0;
  std::vector<int64_t> up_kernels;
  std::vector<int64_t> block_kernels;         // of the residual blocks at each scale
  std::vector<int64_t> source_block_kernels;  // one for each scale
  int64_t f0_channels = 0, f0_layers = 0, f0_kernel = 0;
  int64_t harmonics = 0;  // f0 itself counted

  // What they do not tell: the release of Chatterbox and CosyVoice 2 at 24 kHz.
  int64_t sample_rate = 24000;  // Hz
  std::vector<int64_t> up_rates{8, 5, 3};
  std::vector<int64_t> dilations{1, 3, 5};
  int64_t fft = 16, hop = 4;
  double leaky_slope = 0.1;
  double sine_amplitude = 0.1, noise_deviation = 0.003;
  double voiced_above = 10;  // Hz
  double limit = 0.99;       // of a sample

  int64_t samples_per_frame() const;  // 480
};

// The sizes from the shapes of the tensors under a prefix ("mel2wav."), weight norm folded or not.
// DataError when they are those of another network.
HiftOptions hift_options(const TensorFile& file, const std::string& prefix);

// The random part of the source.
struct HiftNoise {
  torch::Tensor phase;  // [B, harmonics, 1], radians; upstream draws from (-pi, pi) and sets the
                        // first one to 0, which the vocoder does too
  torch::Tensor noise;  // [B, harmonics, N], standard normal
};

// |classifier(convolutions with ELU)|. Child names: condnet.0, .2, ..., classifier.
class F0PredictorImpl : public torch::nn::Module {
 public:
  explicit F0PredictorImpl(const HiftOptions& options);
  torch::Tensor forward(torch::Tensor mel, const Rows& rows = {});  // [B, mels, T] -> [B, T], Hz

 private:
  std::vector<Conv1d> convs_;
  Linear classifier{nullptr};
};
TORCH_MODULE(F0Predictor);

// Expects folded weight norm (fold_weight_norm).
class HiftImpl : public torch::nn::Module {
 public:
  explicit HiftImpl(const HiftOptions& options);

  // [B, mels, T] -> [B, T * 480]. Rows of unequal length must be zero beyond their ends; each wave
  // is what it would be alone, and anything behind its end.
  torch::Tensor forward(const torch::Tensor& mel, const HiftNoise& noise, const Rows& rows = {},
                        const StageProbe& probe = {});

  torch::Tensor f0(const torch::Tensor& mel, const Rows& rows = {});  // [B, mels, T] -> [B, T], Hz
  // The excitation, [B, 1, N]. Phases are kept exact however long the clip is.
  torch::Tensor source(const torch::Tensor& f0, const HiftNoise& noise);
  // [B, N]. Stages, first scale only: conv_pre, ups0, source_downs0, source_resblocks0, resblocks0
  // (its first block), and conv_post.
  torch::Tensor decode(const torch::Tensor& mel, const torch::Tensor& source, Rows rows = {},
                       const StageProbe& probe = {});

  const HiftOptions& options() const { return options_; }

 private:
  HiftOptions options_;
  F0Predictor f0_predictor{nullptr};
  Linear source_linear_{nullptr};  // m_source.l_linear
  Conv1d conv_pre{nullptr}, conv_post{nullptr};
  std::vector<ConvTranspose1d> ups_;
  std::vector<Conv1d> source_downs_;
  std::vector<SnakeResBlock> source_resblocks_, resblocks_;
};
TORCH_MODULE(Hift);

// What the kinds of this vocoder share: its two ends.
// The source [B, 1, N] as real and imaginary parts, [B, fft + 2, N / hop + 1]; rows: in frames of
// the mel.
torch::Tensor hift_source_spectrum(const torch::Tensor& source, const HiftOptions& options,
                                   const Rows& rows);
// [B, fft + 2, T], logarithms of magnitudes and what sine makes phases -> [B, (T - 1) hop]; rows:
// in frames of the spectrum.
torch::Tensor hift_synthesize(const torch::Tensor& spectrum, const HiftOptions& options,
                              const Rows& rows);
// Frames of the source's spectrum that make one frame of each scale: 15, 3, 1.
std::vector<int64_t> hift_source_rates(const HiftOptions& options);
inline constexpr double kHiftLastSlope = 0.01;  // upstream leaves PyTorch's default there

// The vocoder in a file under a prefix, weight norm folded, float32.
Hift load_hift(const std::shared_ptr<const TensorFile>& file, const std::string& prefix,
               torch::Device device);

}  // namespace ttsft
