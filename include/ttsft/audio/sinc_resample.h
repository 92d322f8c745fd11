// torchaudio's resampler (sinc_interp_hann, lowpass_filter_width 6, rolloff 0.99) as a polyphase
// filter: per phase only the taps within the window, so that any pair of rates is cheap. Plain
// float, for worker threads. Equal to torchaudio's convolution up to the rounding of its sum.
#pragma once

#include <span>
#include <vector>

namespace ttsft {

// In which upstream computes the filter.
enum class KernelPrecision {
  kFloat,   // torchaudio.functional.resample of a float32 wave
  kDouble,  // torchaudio.transforms.Resample
};

// [N] -> [ceil(N to / from)]. DataError for rates that are not positive.
std::vector<float> resample_sinc(std::span<const float> samples, int from, int to,
                                 KernelPrecision precision);

}  // namespace ttsft
