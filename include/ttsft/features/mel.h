// Mel spectrograms: filterbanks as librosa and torchaudio make them, and the features above them.
#pragma once

#include <torch/torch.h>

#include "ttsft/features/stft.h"

namespace ttsft {

enum class MelScale {
  kSlaney,  // linear below 1 kHz, logarithmic above (Auditory Toolbox; librosa's default)
  kHtk,     // 2595 log10(1 + f / 700)
};
enum class MelNorm {
  kNone,    // triangles of height 1
  kSlaney,  // triangles of equal area: height 2 / (upper - lower edge in Hz)
};
enum class LogKind { kNone, kNatural, kLog10 };

struct MelOptions {
  StftOptions stft;
  int64_t sample_rate = 24000;  // Hz
  int64_t bins = 128;
  double fmin = 0.0, fmax = 0.0;  // Hz; fmax 0: half the sample rate
  MelScale scale = MelScale::kSlaney;
  MelNorm norm = MelNorm::kSlaney;
  double power = 1.0;              // of the magnitude: 1 or 2
  double magnitude_epsilon = 0.0;  // added to re^2 + im^2 before the root
  LogKind log = LogKind::kNatural;
  double log_floor = 1e-5;       // smaller values are raised to it before the logarithm
  bool drop_last_frame = false;  // Whisper's convention
};

// Triangular filters [bins, fft / 2 + 1], float32, computed in double as librosa.filters.mel does.
// UsageError for an empty or impossible frequency range.
torch::Tensor mel_filterbank(const MelOptions& options);

// The filterbank is made once, on the device where the samples will be.
class MelExtractor {
 public:
  explicit MelExtractor(const MelOptions& options, torch::Device device = torch::kCPU);

  torch::Tensor operator()(const torch::Tensor& samples) const;  // [N] or [B, N] -> [.., T, bins]

  const MelOptions& options() const { return options_; }

 private:
  MelOptions options_;
  torch::Tensor filters_;  // [bins, fft / 2 + 1]
};

}  // namespace ttsft
