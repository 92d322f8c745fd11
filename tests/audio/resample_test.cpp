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

TEST(Resample, SameRateIsACopyAndNothingStaysNothing) {
  const auto input = noise(16000, 0.01);
  EXPECT_EQ(resample_soxr(input, 16000, 16000), input);
  EXPECT_TRUE(resample_soxr({}, 16000, 24000).empty());
}

TEST(Resample, RefusesWrongRates) {
  const std::vector<float> input(10);
  EXPECT_THROW(resample_soxr(input, 16000, -1), DataError);
  EXPECT_THROW(resample_soxr(input, 0, 24000), DataError);
}

}  // namespace
}  // namespace ttsft
