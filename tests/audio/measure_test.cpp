#include <gtest/gtest.h>

#include <limits>

#include "audio/audio_support.h"
#include "tests/support/direct_sinc.h"
#include "ttsft/audio/guards.h"

namespace ttsft {
namespace {

using namespace testing_audio;

AudioStats measure_samples(std::vector<float> samples, int sample_rate) {
  return measure({std::move(samples), sample_rate});
}

TEST(Measure, LevelAndLength) {
  const AudioStats stats = measure_samples(tone(1000, 16000, 2, 0.5), 16000);
  EXPECT_DOUBLE_EQ(stats.seconds, 2.0);
  EXPECT_NEAR(stats.peak, 0.5, 1e-6);
  EXPECT_NEAR(stats.rms, 0.5 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(stats.clipped_share, 0);
  EXPECT_EQ(stats.silence_share, 0);
  EXPECT_EQ(stats.bad_values, 0);
}

TEST(Measure, ClippingCountsRunsOnly) {
  std::vector<float> samples(1000, 0.1f);
  samples[10] = 1.0f;                       // a lone peak
  samples[20] = 1.0f, samples[21] = -1.0f;  // no run: the sign changes
  EXPECT_EQ(measure_samples(samples, 16000).clipped_share, 0);
  samples[100] = samples[101] = samples[102] = 32767.0f / 32768;
  samples[200] = samples[201] = -1.2f;
  EXPECT_DOUBLE_EQ(measure_samples(samples, 16000).clipped_share, 5.0 / 1000);
}

TEST(Measure, SilenceAtTheEndsAndInBetween) {
  std::vector<float> samples(16000 * 4, 0.0f);  // 1 s silence, 1 s tone, 2 s silence
  const auto sound = tone(500, 16000, 1);
  std::copy(sound.begin(), sound.end(), samples.begin() + 16000);
  const AudioStats stats = measure_samples(samples, 16000);
  EXPECT_NEAR(stats.leading_silence, 1, 0.021);
  EXPECT_NEAR(stats.trailing_silence, 2, 0.021);
  EXPECT_NEAR(stats.silence_share, 0.75, 0.01);
}

TEST(Measure, ASilentFileIsAllSilenceAndHasNoBandwidth) {
  const AudioStats zeros = measure_samples(std::vector<float>(24000), 24000);
  EXPECT_EQ(zeros.silence_share, 1);
  EXPECT_DOUBLE_EQ(zeros.leading_silence, 1.0);
  EXPECT_EQ(zeros.bandwidth_hz, 0);
  EXPECT_EQ(measure_samples(noise(24000, 1, 2e-5), 24000).bandwidth_hz, 0);  // a few 24-bit steps
  const AudioStats nothing = measure_samples({}, 24000);
  EXPECT_EQ(nothing.seconds, 0);
  EXPECT_EQ(nothing.bandwidth_hz, 0);
}

TEST(Measure, CountsNanAndInfinityAndDescribesTheRest) {
  auto samples = tone(440, 16000, 1, 0.5);
  samples[5] = std::numeric_limits<float>::quiet_NaN();
  samples[6] = std::numeric_limits<float>::infinity();
  const AudioStats stats = measure_samples(samples, 16000);
  EXPECT_EQ(stats.bad_values, 2);
  EXPECT_NEAR(stats.peak, 0.5, 1e-6);
}

// ---- bandwidth ----

double bandwidth(const std::vector<float>& samples, int sample_rate) {
  return measure_samples(samples, sample_rate).bandwidth_hz;
}

// What 16-bit files do to the floor.
std::vector<float> to_16_bit(std::vector<float> samples) {
  for (float& x : samples) x = std::floor(x * 32768 + 0.5f) / 32768;
  return samples;
}

TEST(Bandwidth, AnUpsampledFileShowsItsOldLimit) {
  for (const auto& [from, to] : {std::pair{16000, 44100},
                                 {16000, 48000},
                                 {16000, 24000},
                                 {8000, 24000},
                                 {22050, 48000},
                                 {24000, 44100}}) {
    for (const auto& source : {speech_like(from, 3), noise(from, 3)}) {
      const auto upsampled = to_16_bit(resample_soxr(source, from, to));
      EXPECT_NEAR(bandwidth(upsampled, to), from / 2.0, 0.08 * from / 2.0) << from << " " << to;
    }
  }
}

TEST(Bandwidth,
     ASlowFilterMovesTheLimitLittle) {  // a short sinc falls off over a third of an octave
  for (const auto& [from, to] : {std::pair{16000, 44100}, {16000, 24000}, {8000, 24000}}) {
    const std::vector<double> slow = test::direct_sinc(speech_like(from, 3), from, to);
    const std::vector<float> upsampled(slow.begin(), slow.end());
    EXPECT_NEAR(bandwidth(upsampled, to), from / 2.0, 0.2 * from / 2.0) << from << " " << to;
  }
}

TEST(Bandwidth, AFullBandFileReachesHalfItsRate) {
  for (const int rate : {8000, 16000, 22050, 24000, 44100, 48000}) {
    EXPECT_EQ(bandwidth(to_16_bit(noise(rate, 2)), rate), rate / 2.0) << rate;
    EXPECT_EQ(bandwidth(to_16_bit(speech_like(rate, 2)), rate), rate / 2.0) << rate;
    EXPECT_EQ(bandwidth(to_16_bit(noise(rate, 2, 0.001)), rate), rate / 2.0) << rate;  // quiet
  }
}

TEST(Bandwidth, AClickAndAPauseDoNotHideTheLimit) {
  auto samples = resample_soxr(speech_like(16000, 4), 16000, 44100);
  samples[50000] = 0.9f;
  std::fill(samples.begin() + 9 * 11025, samples.begin() + 13 * 11025, 0.0f);  // swell to swell
  EXPECT_NEAR(bandwidth(samples, 44100), 8000, 500);
}

TEST(Bandwidth, RealSpeechAt16kHz) {
  for (const char* id : {"0870", "0880", "0890", "0920", "0930"}) {
    const Audio clip = decode_audio(kAusten / ("austen-" + std::string(id) + ".wav")).audio;
    EXPECT_GT(bandwidth(clip.samples, 16000), 6500) << id;
    EXPECT_LE(bandwidth(clip.samples, 16000), 8000) << id;
    const auto upsampled = to_16_bit(resample_soxr(clip.samples, 16000, 44100));
    EXPECT_NEAR(bandwidth(upsampled, 44100), 7200, 400) << id;
  }
}

TEST(Bandwidth, VeryShortFiles) {
  EXPECT_EQ(bandwidth(noise(24000, 0.02), 24000), 12000);
  EXPECT_EQ(bandwidth({0.5f}, 24000), 12000);
}

}  // namespace
}  // namespace ttsft
