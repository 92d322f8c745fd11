// Short-time Fourier transform with the framing conventions of the tools that models were made
// with.
#pragma once

#include <torch/torch.h>

namespace ttsft {

enum class SignalPadding { kReflect, kZeros };

struct StftOptions {
  int64_t fft = 1024;
  int64_t window =
      1024;           // periodic Hann of this length, centred in the frame when shorter than fft
  int64_t hop = 256;  // samples
  int64_t pad = 0;    // samples put on both sides first; librosa and torch "center" is fft / 2
  SignalPadding padding = SignalPadding::kReflect;
};

// Frames of a signal of that many samples: floor((samples + 2 pad - fft) / hop) + 1, 0 if too
// short.
int64_t stft_frames(const StftOptions& options, int64_t samples);

// samples [N] or [B, N], float -> complex [.., fft / 2 + 1, T]. DataError when the signal is
// shorter than one frame, or than the reflection needs (more than `pad` samples).
torch::Tensor stft(const torch::Tensor& samples, const StftOptions& options);

// (re^2 + im^2 + epsilon)^(power / 2), float. power 1 is the magnitude, power 2 the power spectrum.
torch::Tensor spectrogram(const torch::Tensor& samples, const StftOptions& options, double power,
                          double epsilon = 0.0);  // [.., fft / 2 + 1, T]

}  // namespace ttsft
