#include "ttsft/features/fbank.h"

#include <cmath>
#include <string>

#include "ttsft/core/error.h"

namespace ttsft {

namespace {

double to_mel(double hz) {
  return 1127.0 * std::log(1.0 + hz / 700.0);
}

double upper_limit(const FbankOptions& options) {
  return options.fmax > 0 ? options.fmax : static_cast<double>(options.sample_rate) / 2;
}

// Triangles that are equally wide and straight-sided in mel, not in Hz; height 1.
torch::Tensor filters_of(const FbankOptions& options) {
  const double top = upper_limit(options);
  if (options.bins < 1 || options.fmin < 0 || top <= options.fmin ||
      top > static_cast<double>(options.sample_rate) / 2) {
    throw UsageError("fbank: " + std::to_string(options.bins) + " bins from " +
                     std::to_string(options.fmin) + " to " + std::to_string(top) + " Hz at " +
                     std::to_string(options.sample_rate) + " Hz is impossible");
  }
  const double lowest = to_mel(options.fmin);
  const double width = (to_mel(top) - lowest) / static_cast<double>(options.bins + 1);
  const int64_t rows = options.fft / 2 + 1;
  torch::Tensor filters = torch::zeros({rows, options.bins}, torch::kFloat64);
  auto values = filters.accessor<double, 2>();
  for (int64_t k = 0; k < rows; ++k) {
    const double hz = static_cast<double>(k * options.sample_rate) / options.fft;
    const double place = (to_mel(hz) - lowest) / width;  // 1 is the first filter's centre
    for (int64_t bin = 0; bin < options.bins; ++bin) {
      const double height = 1.0 - std::abs(place - static_cast<double>(bin + 1));
      if (height > 0) values[k][bin] = height;
    }
  }
  return filters;
}

torch::Tensor povey_window(int64_t length) {
  return torch::hann_window(length, /*periodic=*/false, torch::kFloat64).pow(0.85);
}

}  // namespace

int64_t fbank_frames(const FbankOptions& options, int64_t samples) {
  return samples < options.window ? 0 : 1 + (samples - options.window) / options.hop;
}

FbankExtractor::FbankExtractor(const FbankOptions& options, torch::Device device)
    : options_(options) {
  if (options.window < 2 || options.hop < 1 || options.fft < options.window) {
    throw std::logic_error("FbankExtractor: the window does not fit the transform");
  }
  const torch::Dtype dtype = options.in_double ? torch::kFloat64 : torch::kFloat32;
  window_ = povey_window(options.window).to(device, dtype);
  filters_ = filters_of(options).to(device, dtype);
}

torch::Tensor FbankExtractor::operator()(const torch::Tensor& samples) const {
  const int64_t count = samples.size(-1);
  if (fbank_frames(options_, count) == 0) {
    throw DataError("audio is too short for a filterbank: " + std::to_string(count) + " samples",
                    "", "give at least " + std::to_string(options_.window));
  }
  torch::Tensor x = samples.to(window_.scalar_type());
  if (options_.scale != 1) x = x * options_.scale;
  torch::Tensor frames = x.unfold(-1, options_.window, options_.hop);  // [.., T, window]
  frames = frames - frames.mean(-1, /*keepdim=*/true);
  // A frame's first sample is its own predecessor.
  const torch::Tensor before =
      torch::cat({frames.narrow(-1, 0, 1), frames.narrow(-1, 0, options_.window - 1)}, -1);
  frames = (frames - before * options_.preemphasis) * window_;
  const torch::Tensor spectrum = torch::view_as_real(torch::fft_rfft(frames, options_.fft));
  torch::Tensor bands = torch::matmul(spectrum.square().sum(-1), filters_);  // [.., T, bins]
  bands = bands.clamp_min(options_.floor).log();
  if (options_.subtract_mean) bands = bands - bands.mean(-2, /*keepdim=*/true);
  return bands.to(torch::kFloat32);
}

}  // namespace ttsft
