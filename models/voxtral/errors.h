// How far sounds are apart, of batches whose rows end where they end: what inversion and the
// training of an encoder go down.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace ttsft::voxtral {

// 1 for the first counts[b] of `size`, else 0: [B, size]
torch::Tensor first_ones(const std::vector<int64_t>& counts, int64_t size, torch::Device device);
// Mean over the first counts[b] of each row and over all that follows time: [B, T, ..] -> [B]
torch::Tensor mean_of_first(const torch::Tensor& values, const std::vector<int64_t>& counts);

// How far two waves [B, N] are apart: the mean over windows of 64 to 2048 samples of
// mean | |A| - |B| | / mean |B|, of the first samples[b] of each row. [B], differentiable; 0:
// equal.
class SpectralError {
 public:
  SpectralError(const torch::Tensor& wanted, const std::vector<int64_t>& samples);
  torch::Tensor operator()(const torch::Tensor& wave) const;

 private:
  struct Size {
    int64_t size;
    torch::Tensor spectrum;       // [B, bins, frames]
    torch::Tensor own;            // [B, 1, frames], 1 for a row's own
    torch::Tensor values, level;  // [B]: how many of its own, and their mean
  };
  std::vector<Size> sizes_;
};
inline torch::Tensor spectral_error(const torch::Tensor& wave, const torch::Tensor& wanted,
                                    const std::vector<int64_t>& samples) {
  return SpectralError(wanted, samples)(wave);
}
// Mean distance of the samples, of the same ones: [B].
torch::Tensor wave_error(const torch::Tensor& wave, const torch::Tensor& wanted,
                         const std::vector<int64_t>& samples);

}  // namespace ttsft::voxtral
