#include "ttsft/features/stft.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;

// The definition, summed by hand for one frame and one bin.
std::complex<double> bin_by_hand(const torch::Tensor& x, const StftOptions& o, int64_t frame,
                                 int64_t bin) {
  std::complex<double> sum = 0;
  const int64_t count = x.size(0), offset = (o.fft - o.window) / 2;
  for (int64_t n = 0; n < o.window; ++n) {
    const double hann = 0.5 - 0.5 * std::cos(2 * M_PI * n / o.window);  // periodic
    int64_t at = frame * o.hop + offset + n - o.pad;
    double value = 0;
    if (o.padding == SignalPadding::kReflect) {
      if (at < 0) at = -at;
      if (at >= count) at = 2 * (count - 1) - at;
    }
    if (at >= 0 && at < count) value = x[at].item<double>();
    sum += hann * value * std::polar(1.0, -2 * M_PI * bin * (offset + n) / o.fft);
  }
  return sum;
}

void compare_by_hand(const StftOptions& options, int64_t samples) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({samples});
  const torch::Tensor y = stft(x, options);
  ASSERT_EQ(y.size(0), options.fft / 2 + 1);
  ASSERT_EQ(y.size(1), stft_frames(options, samples));
  for (const int64_t frame : {int64_t{0}, y.size(1) - 1}) {
    for (const int64_t bin : {int64_t{0}, int64_t{3}, options.fft / 2}) {
      const auto expected = bin_by_hand(x, options, frame, bin);
      const auto actual = y[bin][frame].item<c10::complex<float>>();
      EXPECT_NEAR(actual.real(), expected.real(), 1e-4) << frame << "," << bin;
      EXPECT_NEAR(actual.imag(), expected.imag(), 1e-4) << frame << "," << bin;
    }
  }
}

TEST(Stft, DefinitionWithReflectedEdges) {
  compare_by_hand({.fft = 64, .window = 64, .hop = 16, .pad = 24}, 200);
}

TEST(Stft, DefinitionWithZerosAtTheEdges) {
  compare_by_hand({.fft = 64, .window = 64, .hop = 10, .pad = 32, .padding = SignalPadding::kZeros},
                  199);
}

TEST(Stft, DefinitionWithAShortWindowAndNoPadding) {
  compare_by_hand({.fft = 64, .window = 40, .hop = 16}, 130);
}

TEST(Stft, FrameCounts) {
  const StftOptions speaker{.fft = 1024, .window = 1024, .hop = 256, .pad = 384};
  for (const int64_t n : {512, 1000, 1023, 1024, 24000}) {
    EXPECT_EQ(stft_frames(speaker, n), n / 256) << n;
  }
  const StftOptions centred{.fft = 400, .window = 400, .hop = 160, .pad = 200};
  EXPECT_EQ(stft_frames(centred, 1600), 11);
  EXPECT_EQ(stft_frames({.fft = 400, .window = 400, .hop = 160}, 399), 0);
  EXPECT_EQ(stft_frames({.fft = 400, .window = 400, .hop = 160}, 400), 1);
}

TEST(Stft, RowsOfABatchAreTheRowsAlone) {
  const StftOptions options{.fft = 64, .window = 64, .hop = 16, .pad = 24};
  torch::manual_seed(4);
  const torch::Tensor x = torch::randn({2, 150});
  const torch::Tensor both = spectrogram(x, options, 1.0);
  expect_close(both[0], spectrogram(x[0], options, 1.0), 1e-6);
  expect_close(both[1], spectrogram(x[1], options, 1.0), 1e-6);
}

TEST(Stft, PowersAndEpsilon) {
  const StftOptions options{.fft = 64, .window = 64, .hop = 16};
  torch::manual_seed(5);
  const torch::Tensor x = torch::randn({150});
  const torch::Tensor magnitude = stft(x, options).abs();
  expect_close(spectrogram(x, options, 1.0), magnitude, 1e-5);
  expect_close(spectrogram(x, options, 2.0), magnitude.square(), 1e-3);
  expect_close(spectrogram(x, options, 3.0), magnitude.pow(3), 1e-2);
  expect_close(spectrogram(torch::zeros({150}), options, 1.0, 1e-6), torch::full({33, 6}, 1e-3),
               1e-9);
}

TEST(Stft, TooShortIsRefused) {
  const StftOptions options{.fft = 1024, .window = 1024, .hop = 256, .pad = 384};
  EXPECT_THROW(stft(torch::zeros({384}), options), DataError);
  EXPECT_NO_THROW(stft(torch::zeros({385}), options));
  EXPECT_THROW(stft(torch::zeros({63}), {.fft = 64, .window = 64, .hop = 16}), DataError);
}

}  // namespace
}  // namespace ttsft
