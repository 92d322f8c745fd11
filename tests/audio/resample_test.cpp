#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "audio/audio_support.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

using namespace testing_audio;

std::vector<float> floats(const SafetensorsReader& reader, const char* name) {
  const TensorView& tensor = reader.at(name);
  std::vector<float> out(tensor.bytes.size() / sizeof(float));
  std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
  return out;
}

TEST(ResampleSoxr, EqualsLibrosasSoxrHqBitForBit) {
  const auto reader =
      SafetensorsReader::open(kFixtures / "qwen3_tts" / "expected" / "resample.safetensors");
  for (const auto& [rate, input, output] :
       {std::tuple{16000, "in_16000", "out_from_16000"}, {44100, "in_44100", "out_from_44100"}}) {
    const std::vector<float> want = floats(reader, output);
    const std::vector<float> got = resample_soxr(floats(reader, input), rate, 24000);
    ASSERT_EQ(got.size(), want.size()) << rate;
    int differing = 0;
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      differing += got[i] != want[i];
      worst = std::max(worst, double(std::abs(got[i] - want[i])));
    }
    EXPECT_EQ(differing, 0) << rate << ": of " << got.size() << ", worst " << worst;
  }
}

TEST(ResampleSoxr, LengthIsTheCeiling) {
  for (const auto& [count, from, to, length] : {std::tuple{1, 16000, 24000, 2},
                                                {3, 16000, 24000, 5},
                                                {4, 16000, 24000, 6},
                                                {44100, 44100, 24000, 24000},
                                                {44101, 44100, 24000, 24001},
                                                {100, 8000, 48000, 600},
                                                {1001, 48000, 16000, 334},
                                                {1, 48000, 8000, 1},
                                                {200000, 8000, 24000, 600000}}) {
    EXPECT_EQ(resample_soxr(std::vector<float>(size_t(count), 0.5f), from, to).size(),
              size_t(length))
        << count << " " << from << " " << to;
  }
}

TEST(ResampleSoxr, ChunksJoinWithoutASeam) {
  const auto input = tone(300, 16000, 9);  // three chunks of 2^16 samples
  const auto got = resample_soxr(input, 16000, 24000);
  const auto want = tone(300, 24000, 9);
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t i = 1000; i + 1000 < want.size(); ++i) {
    worst = std::max(worst, double(std::abs(got[i] - want[i])));
  }
  EXPECT_LT(worst, 1e-5);
}

// The definition, tap by tap in double: y[n] = sum over x of x[i] h(i / from - n / to).
std::vector<double> direct_sinc(const std::vector<float>& x, double from, double to) {
  const double pi = std::numbers::pi, base = 0.99 * std::min(from, to);
  std::vector<double> y(size_t(std::ceil(double(x.size()) * to / from)));
  for (size_t n = 0; n < y.size(); ++n) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double t = (double(i) / from - double(n) / to) * base;
      if (std::abs(t) >= 6) continue;
      const double sinc = t == 0 ? 1 : std::sin(pi * t) / (pi * t);
      y[n] += x[i] * sinc * std::pow(std::cos(pi * t / 12), 2) * base / from;
    }
  }
  return y;
}

class ResampleSinc : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(ResampleSinc, EqualsTheDefinition) {
  const auto [from, to] = GetParam();
  std::vector<float> input = noise(from, 0.03);
  const auto got = resample_sinc(input, from, to);
  const auto want = direct_sinc(input, from, to);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-6) << i;
}

TEST_P(ResampleSinc, KeepsLevelAndTone) {
  const auto [from, to] = GetParam();
  const auto flat = resample_sinc(std::vector<float>(size_t(from / 5), 0.5f), from, to);
  for (size_t i = flat.size() / 4; i < flat.size() * 3 / 4; ++i) ASSERT_NEAR(flat[i], 0.5, 2e-3);
  const auto got = resample_sinc(tone(1000, from, 0.2), from, to);
  const auto want = tone(1000, to, 0.2);
  for (size_t i = got.size() / 4; i < got.size() * 3 / 4; ++i) ASSERT_NEAR(got[i], want[i], 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Rates, ResampleSinc,
                         testing::Values(std::pair{24000, 16000}, std::pair{16000, 24000},
                                         std::pair{22050, 16000}, std::pair{44100, 24000},
                                         std::pair{48000, 16000}, std::pair{8000, 44100}));

TEST(ResampleSincRules, RemovesWhatTheNewRateCannotHold) {
  const auto aliased = resample_sinc(tone(11000, 24000, 0.2), 24000, 16000);
  const std::vector<float> middle(aliased.begin() + 500, aliased.end() - 500);
  EXPECT_LT(rms(middle), 0.01 * 0.125);
}

TEST(ResampleSincRules, WiderFilterIsSharper) {
  const auto input = tone(7800, 24000, 0.2);
  const auto six = resample_sinc(input, 24000, 16000, 6);
  const auto sixtyfour = resample_sinc(input, 24000, 16000, 64, 0.9475937167399596);
  EXPECT_GT(rms(six), 4 * rms(sixtyfour));
}

TEST(Resample, SameRateIsACopyAndNothingStaysNothing) {
  const auto input = noise(16000, 0.01);
  EXPECT_EQ(resample_soxr(input, 16000, 16000), input);
  EXPECT_EQ(resample_sinc(input, 16000, 16000), input);
  EXPECT_TRUE(resample_soxr({}, 16000, 24000).empty());
  EXPECT_TRUE(resample_sinc({}, 16000, 24000).empty());
}

TEST(Resample, RefusesWrongRatesAndFilters) {
  const std::vector<float> input(10);
  EXPECT_THROW(resample_soxr(input, 0, 24000), DataError);
  EXPECT_THROW(resample_sinc(input, 16000, -1), DataError);
  EXPECT_THROW(resample_sinc(input, 16000, 24000, 0), UsageError);
  EXPECT_THROW(resample_sinc(input, 16000, 24000, 6, 1.5), UsageError);
}

}  // namespace
}  // namespace ttsft
