#include "ttsft/features/mel.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/tensor_test.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;

MelOptions small(MelScale scale, MelNorm norm) {
  MelOptions options;
  options.stft = {.fft = 512, .window = 512, .hop = 128};
  options.sample_rate = 16000;
  options.bins = 20;
  options.scale = scale;
  options.norm = norm;
  return options;
}

// Centre of a filter: where its triangle peaks, found from the energy on both sides.
double peak_hz(const torch::Tensor& filter, const MelOptions& o) {
  return filter.argmax().item<int64_t>() * static_cast<double>(o.sample_rate) / o.stft.fft;
}

TEST(Mel, SlaneyScaleIsLinearBelowAThousandHertz) {
  MelOptions options = small(MelScale::kSlaney, MelNorm::kNone);
  options.stft.fft = 8192;
  options.bins = 14;
  options.fmax = 1000;
  const torch::Tensor filters = mel_filterbank(options);
  for (int64_t i = 0; i < options.bins; ++i) {
    EXPECT_NEAR(peak_hz(filters[i], options), 1000.0 * (i + 1) / 15, 1.0) << i;
  }
}

TEST(Mel, SlaneyScaleIsLogarithmicAbove) {
  MelOptions options = small(MelScale::kSlaney, MelNorm::kNone);
  options.stft.fft = 16384;
  options.fmin = 1000;
  options.fmax = 6400;  // 27 steps of the scale
  options.bins = 26;
  const torch::Tensor filters = mel_filterbank(options);
  for (int64_t i = 0; i < options.bins; ++i) {
    EXPECT_NEAR(peak_hz(filters[i], options), 1000 * std::pow(6.4, (i + 1) / 27.0), 1.0) << i;
  }
}

TEST(Mel, HtkScale) {
  MelOptions options = small(MelScale::kHtk, MelNorm::kNone);
  options.stft.fft = 16384;
  const torch::Tensor filters = mel_filterbank(options);
  const double top = 2595 * std::log10(1 + 8000 / 700.0);
  for (int64_t i = 0; i < options.bins; ++i) {
    const double mel = top * (i + 1) / (options.bins + 1);
    EXPECT_NEAR(peak_hz(filters[i], options), 700 * (std::pow(10, mel / 2595) - 1), 1.0) << i;
  }
}

TEST(Mel, SlaneyNormGivesEqualAreas) {
  MelOptions options = small(MelScale::kSlaney, MelNorm::kSlaney);
  options.stft.fft = 16384;
  const torch::Tensor areas =
      mel_filterbank(options).sum(-1) * (static_cast<double>(options.sample_rate) / 16384);
  expect_close(areas, torch::ones({options.bins}), 1e-3);
  options.norm = MelNorm::kNone;
  const torch::Tensor heights = std::get<0>(mel_filterbank(options).max(-1));
  expect_close(heights, torch::ones({options.bins}), 0.02);
}

TEST(Mel, ImpossibleRangesAreRefused) {
  MelOptions options = small(MelScale::kSlaney, MelNorm::kSlaney);
  options.fmax = 8001;
  EXPECT_THROW(mel_filterbank(options), UsageError);
  options.fmax = 100;
  options.fmin = 100;
  EXPECT_THROW(mel_filterbank(options), UsageError);
  options = small(MelScale::kSlaney, MelNorm::kSlaney);
  options.bins = 0;
  EXPECT_THROW(mel_filterbank(options), UsageError);
}

TEST(Mel, SilenceIsTheFloor) {
  MelOptions options = small(MelScale::kSlaney, MelNorm::kSlaney);
  const torch::Tensor silence = torch::zeros({2000});
  const int64_t frames = stft_frames(options.stft, 2000);
  expect_close(MelExtractor(options)(silence),
               torch::full({frames, 20}, static_cast<float>(std::log(1e-5))), 1e-5);
  options.log = LogKind::kLog10;
  options.log_floor = 1e-10;
  expect_close(MelExtractor(options)(silence), torch::full({frames, 20}, -10.0f), 1e-5);
  options.log = LogKind::kNone;
  expect_close(MelExtractor(options)(silence), torch::zeros({frames, 20}), 0);
}

TEST(Mel, LastFrameCanBeDropped) {
  MelOptions options = small(MelScale::kSlaney, MelNorm::kSlaney);
  torch::manual_seed(1);
  const torch::Tensor x = torch::randn({3, 2000});
  const torch::Tensor all = MelExtractor(options)(x);  // [3, T, 20]
  options.drop_last_frame = true;
  expect_close(MelExtractor(options)(x), all.narrow(1, 0, all.size(1) - 1), 0);
}

// A tone of known level: the power of its spectrum passes through one filter.
TEST(Mel, PowerOfATone) {
  MelOptions options = small(MelScale::kHtk, MelNorm::kNone);
  options.log = LogKind::kNone;
  options.power = 2.0;
  const int64_t bin = 40;  // 1250 Hz
  const torch::Tensor n = torch::arange(2048, torch::kFloat64);
  const torch::Tensor tone = torch::cos(n * (2 * M_PI * bin / 512)).to(torch::kFloat32);
  const torch::Tensor energy = MelExtractor(options)(tone)[0];
  // A Hann window of N spreads a tone over three bins: N / 4 at the centre, N / 8 at its sides.
  const torch::Tensor filters = mel_filterbank(options);
  const torch::Tensor expected = filters.select(1, bin) * (128.0 * 128.0) +
                                 (filters.select(1, bin - 1) + filters.select(1, bin + 1)) * 4096.0;
  expect_close(energy / 16384.0, expected / 16384.0, 1e-4);
}

}  // namespace
}  // namespace ttsft
