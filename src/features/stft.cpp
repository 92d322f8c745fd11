#include "ttsft/features/stft.h"

#include <string>

#include "ttsft/core/error.h"

namespace ttsft {

int64_t stft_frames(const StftOptions& options, int64_t samples) {
  const int64_t padded = samples + 2 * options.pad;
  return padded < options.fft ? 0 : (padded - options.fft) / options.hop + 1;
}

torch::Tensor stft(const torch::Tensor& samples, const StftOptions& options) {
  const int64_t count = samples.size(-1);
  const bool reflect = options.padding == SignalPadding::kReflect && options.pad > 0;
  if ((reflect && count <= options.pad) || stft_frames(options, count) == 0) {
    const int64_t needed =
        std::max(options.fft - 2 * options.pad, reflect ? options.pad + 1 : int64_t{1});
    throw DataError("audio is too short for a spectrum: " + std::to_string(count) + " samples", "",
                    "give at least " + std::to_string(needed));
  }
  torch::Tensor x = samples;
  if (reflect) {
    // reflection_pad1d wants a channel dimension: [N] -> [1, N] will do, a batch counts as
    // channels.
    const bool single = x.dim() == 1;
    x = torch::reflection_pad1d(single ? x.unsqueeze(0) : x, {options.pad, options.pad});
    if (single) x = x.squeeze(0);
  } else if (options.pad > 0) {
    x = torch::constant_pad_nd(x, {options.pad, options.pad});
  }
  const torch::Tensor window = torch::hann_window(options.window, /*periodic=*/true, x.options());
  return torch::stft(x, options.fft, options.hop, options.window, window, /*center=*/false,
                     /*pad_mode=*/"constant", /*normalized=*/false, /*onesided=*/true,
                     /*return_complex=*/true);
}

torch::Tensor spectrogram(const torch::Tensor& samples, const StftOptions& options, double power,
                          double epsilon) {
  const torch::Tensor parts = torch::view_as_real(stft(samples, options));  // [.., bins, T, 2]
  torch::Tensor energy = parts.square().sum(-1);
  if (epsilon != 0.0) energy.add_(epsilon);
  if (power == 2.0) return energy;
  return power == 1.0 ? energy.sqrt_() : energy.pow_(power / 2);
}

}  // namespace ttsft
