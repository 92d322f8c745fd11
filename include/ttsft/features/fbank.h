// Log filterbank energies as Kaldi makes them (compute-fbank-feats; torchaudio.compliance.kaldi and
// Hugging Face's SeamlessM4TFeatureExtractor compute the same): for speaker networks and w2v-BERT.
// Frames lie within the signal ("snip_edges"); no dither, no energy column.
#pragma once

#include <torch/torch.h>

namespace ttsft {

struct FbankOptions {
  int64_t sample_rate = 16000;      // Hz
  int64_t window = 400, hop = 160;  // samples
  int64_t fft = 512;                // a frame is padded with zeros to this length
  int64_t bins = 80;
  double fmin = 20, fmax = 0;  // Hz; fmax 0: half the sample rate
  double scale = 1;            // samples are multiplied by it first: 32768 for 16-bit levels
  double preemphasis = 0.97;   // x[i] -= p x[i - 1] within a frame, x[0] *= 1 - p
  double floor = 1.1920928955078125e-07;  // smaller energies are raised to it before the logarithm
  bool subtract_mean = false;             // of each band over the frames of the clip
  bool in_double = false;                 // all arithmetic in float64, as numpy does it
};

// 1 + (samples - window) / hop, 0 when the signal is shorter than a window.
int64_t fbank_frames(const FbankOptions& options, int64_t samples);

// Window and filters are made once, on the device where the samples will be.
class FbankExtractor {
 public:
  // UsageError for an empty or impossible frequency range.
  explicit FbankExtractor(const FbankOptions& options, torch::Device device = torch::kCPU);

  // [N] or [B, N] -> [.., T, bins], float32. DataError for a signal shorter than a window.
  torch::Tensor operator()(const torch::Tensor& samples) const;

  const FbankOptions& options() const { return options_; }

 private:
  FbankOptions options_;
  torch::Tensor window_;   // [window], Povey's: Hann to the power 0.85
  torch::Tensor filters_;  // [fft / 2 + 1, bins], triangles on the mel axis
};

}  // namespace ttsft
