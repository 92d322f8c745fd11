#include "ttsft/features/fbank.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/model_fixture.h"
#include "tests/support/random_weights.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;

TEST(Fbank, IsUpstreams) {
  const test::ModelFixture fixture("chatterbox");
  FbankOptions options;
  options.subtract_mean = true;
  expect_close(FbankExtractor(options)(fixture.expected("prep", "ref.wav16k_sinc_hann")),
               fixture.expected("prep", "ref.campplus_fbank_cmn").squeeze(), 1e-3);
}

TEST(Fbank, FramesLieWithinTheSignal) {
  const FbankOptions options;
  for (const auto& [samples, frames] :
       {std::pair<int64_t, int64_t>{399, 0}, {400, 1}, {559, 1}, {560, 2}, {16000, 98}}) {
    EXPECT_EQ(fbank_frames(options, samples), frames) << samples;
    if (frames > 0) {
      EXPECT_EQ(FbankExtractor(options)(random({samples}, 1)).size(0), frames) << samples;
    }
  }
}

// One frame by the definition, in double.
TEST(Fbank, Formula) {
  FbankOptions options;
  options.window = 40;
  options.fft = 64;
  options.bins = 6;
  options.fmin = 100;
  options.scale = 100;
  options.in_double = true;
  const torch::Tensor x = random({40}, 3);
  std::vector<double> frame(40);
  double mean = 0;
  for (int i = 0; i < 40; ++i) mean += (frame[i] = 100.0 * x[i].item<float>()) / 40;
  for (double& value : frame) value -= mean;
  for (int i = 39; i >= 0; --i) frame[i] -= 0.97 * frame[i > 0 ? i - 1 : 0];
  for (int i = 0; i < 40; ++i) frame[i] *= std::pow(0.5 - 0.5 * cos(2 * M_PI * i / 39), 0.85);
  const auto mel = [](double hz) { return 1127 * std::log(1 + hz / 700); };
  const double low = mel(100), step = (mel(8000) - low) / 7;
  std::vector<float> expected(6);
  for (int bin = 0; bin < 6; ++bin) {
    double energy = 0;
    for (int k = 0; k <= 32; ++k) {
      double re = 0, im = 0;
      for (int i = 0; i < 40; ++i) {
        re += frame[i] * cos(2 * M_PI * k * i / 64);
        im += frame[i] * sin(2 * M_PI * k * i / 64);
      }
      const double from = mel(k * 250.0) - (low + bin * step);
      const double height = std::min(from / step, 2 - from / step);
      if (height > 0) energy += height * (re * re + im * im);
    }
    expected[bin] = static_cast<float>(std::log(energy));
  }
  expect_close(FbankExtractor(options)(x)[0], torch::tensor(expected), 1e-5);
  options.in_double = false;
  expect_close(FbankExtractor(options)(x)[0], torch::tensor(expected), 1e-4, "in float");
}

TEST(Fbank, SilenceIsTheFloor) {
  FbankOptions options;
  const torch::Tensor floor = torch::full({3, 80}, std::log(1.1920928955078125e-07));
  expect_close(FbankExtractor(options)(torch::zeros({720})), floor, 1e-5);
  expect_close(FbankExtractor(options)(torch::ones({720})), floor, 1e-5, "a constant");
  options.floor = 1e-3;
  expect_close(FbankExtractor(options)(torch::zeros({720})), torch::full({3, 80}, std::log(1e-3)),
               1e-5);
}

TEST(Fbank, RowsOfABatchAreIndependent) {
  FbankOptions options;
  options.subtract_mean = true;
  const FbankExtractor fbank(options);
  const torch::Tensor x = random({3, 2000}, 4, 0.1);
  const torch::Tensor all = fbank(x);
  for (int64_t i = 0; i < 3; ++i) expect_close(all[i], fbank(x[i]), 1e-5);
  expect_close(all.mean(1), torch::zeros({3, 80}), 1e-4);
}

TEST(Fbank, WrongUse) {
  const FbankOptions usual;
  EXPECT_THROW(FbankExtractor{usual}(torch::zeros({399})), DataError);
  const auto make = [](const FbankOptions& options) { FbankExtractor extractor(options); };
  EXPECT_THROW(make({.fmax = 9000}), UsageError);
  EXPECT_THROW(make({.fmax = 20}), UsageError);
  EXPECT_THROW(make({.bins = 0}), UsageError);
  EXPECT_THROW(make({.fft = 256}), std::logic_error);
}

}  // namespace
}  // namespace ttsft
