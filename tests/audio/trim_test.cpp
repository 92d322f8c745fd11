#include "ttsft/audio/trim.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/audio/audio_support.h"
#include "ttsft/audio/audio.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

using testing_audio::tone;

constexpr TrimOptions kVoice = {.top_db = 20};

std::vector<float> clip(const std::string& name) {
  return decode_audio(testing_audio::kFixtures / "chatterbox" / "audio" / (name + ".wav"))
      .audio.samples;
}

// What upstream measured with librosa.
SampleRange expected_range(const std::string& name) {
  const auto file = SafetensorsReader::open(testing_audio::kFixtures / "chatterbox" / "expected" /
                                            "prep.safetensors");
  int32_t values[2];
  const TensorView& view = file.at(name + ".ve_trim_range");
  EXPECT_EQ(view.bytes.size(), sizeof(values));
  std::memcpy(values, view.bytes.data(), sizeof(values));
  return {static_cast<size_t>(values[0]), static_cast<size_t>(values[1])};
}

void expect_range(SampleRange range, size_t begin, size_t end) {
  EXPECT_EQ(range.begin, begin);
  EXPECT_EQ(range.end, end);
  EXPECT_EQ(range.size(), end - begin);
}

TEST(Trim, RangesAreUpstreams) {
  std::vector<float> all;
  for (const std::string name : {"a", "b", "c"}) {
    const std::vector<float> samples = clip(name);
    all.insert(all.end(), samples.begin(), samples.end());
  }
  const SampleRange a = expected_range("a"), concat = expected_range("concat");
  expect_range(trim_range(clip("a"), kVoice), a.begin, a.end);
  expect_range(trim_range(all, kVoice), concat.begin, concat.end);
}

// A tone from sample 10000 to 20000: frames that hold a hundredth of its power count, 20 samples.
TEST(Trim, CutsInWholeHops) {
  std::vector<float> samples(30000);
  const std::vector<float> sound = tone(1000, 16000, 10000.0 / 16000);
  std::copy(sound.begin(), sound.end(), samples.begin() + 10000);
  // Frame t covers 512 t - 1024 to 512 t + 1024: 18 is the first to hold 20 samples of the tone,
  // 41 the last.
  expect_range(trim_range(samples, kVoice), 18 * 512, 42 * 512);
  // Half the power is needed at 3 dB.
  expect_range(trim_range(samples, {.top_db = 3}), 20 * 512, 40 * 512);
  expect_range(trim_range(samples, {.top_db = 20, .frame = 200, .hop = 100}), 100 * 100, 201 * 100);
}

TEST(Trim, NeverBeyondTheEnds) {
  const std::vector<float> sound = tone(1000, 16000, 0.5);
  expect_range(trim_range(sound, kVoice), 0, sound.size());
  const std::vector<float> instant(5, 0.5f);
  expect_range(trim_range(instant, kVoice), 0, 5);
}

TEST(Trim, SilenceIsKept) {
  const std::vector<float> zeros(5000), faint(5000, 1e-6f);
  expect_range(trim_range(zeros, kVoice), 0, 5000);
  expect_range(trim_range(faint, kVoice), 0, 5000);
  expect_range(trim_range({}, kVoice), 0, 0);
}

TEST(Trim, WrongUse) {
  const std::vector<float> zeros(5000);
  EXPECT_THROW(trim_range(zeros, {.frame = 0}), std::logic_error);
  EXPECT_THROW(trim_range(zeros, {.frame = 2047}), std::logic_error);
  EXPECT_THROW(trim_range(zeros, {.hop = 0}), std::logic_error);
}

}  // namespace
}  // namespace ttsft
