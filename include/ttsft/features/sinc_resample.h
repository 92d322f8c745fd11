// torchaudio's resampler (sinc_interp_hann, lowpass_filter_width 6, rolloff 0.99) in the same
// operations as upstream's, so that even the rounding is the same: for networks that hear it. In
// bands that hold nothing, normalised energies show differences of 1e-6 between waves.
#pragma once

#include <torch/torch.h>

namespace ttsft {

// Of the filter kernel; the wave is convolved in float32 either way.
enum class KernelPrecision {
  kFloat,   // torchaudio.functional.resample of a float32 wave
  kDouble,  // torchaudio.transforms.Resample
};

// [N] or [B, N], float32 -> [.., ceil(N to / from)]. DataError for rates that are not positive.
torch::Tensor sinc_resample(const torch::Tensor& samples, int from, int to,
                            KernelPrecision precision);

}  // namespace ttsft
