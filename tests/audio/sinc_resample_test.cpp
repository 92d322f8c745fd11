#include "ttsft/audio/sinc_resample.h"

#include <gtest/gtest.h>

#include <cstring>
#include <tuple>

#include "audio/audio_support.h"
#include "tests/support/direct_sinc.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

using namespace testing_audio;

const std::filesystem::path kModel = kFixtures / "indextts2";

template <typename T>
std::vector<T> values(const SafetensorsReader& reader, const std::string& name) {
  const TensorView& tensor = reader.at(name);
  std::vector<T> out(tensor.bytes.size() / sizeof(T));
  std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
  return out;
}

void expect_near(std::span<const float> got, std::span<const float> want, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
  EXPECT_LE(worst, tolerance) << what;
}

// The ends of the wave that upstream's code made of a recording of the fixture.
void expect_upstreams(const std::vector<float>& wave, const std::string& file,
                      const std::string& name) {
  const auto reader = SafetensorsReader::open(kModel / "expected" / (file + ".safetensors"));
  const auto head = values<float>(reader, name + ".wav16k_head");
  const auto tail = values<float>(reader, name + ".wav16k_tail");
  ASSERT_EQ(wave.size(),
            static_cast<size_t>(values<int64_t>(reader, name + ".wav16k_len").front()));
  expect_near(std::span(wave).first(head.size()), head, 1e-6, name + " head");
  expect_near(std::span(wave).last(tail.size()), tail, 1e-6, name + " tail");
}

Audio recording(const std::string& name) {
  return decode_audio(kModel / "audio" / (name + ".wav")).audio;
}

// 24 kHz, 22050 Hz and 16 kHz, each to 24 kHz and from there to 16 kHz.
TEST(SincResample, FunctionIsUpstreams) {
  for (const std::string clip : {"a", "b", "c", "ref"}) {
    const Audio audio = recording(clip);
    const auto detour =
        resample_sinc(audio.samples, audio.sample_rate, 24000, KernelPrecision::kFloat);
    expect_upstreams(resample_sinc(detour, 24000, 16000, KernelPrecision::kFloat), "prep", clip);
  }
}

TEST(SincResample, TransformIsUpstreams) {
  const Audio audio = recording("ref");
  expect_upstreams(resample_sinc(audio.samples, audio.sample_rate, 16000, KernelPrecision::kDouble),
                   "synth", "prompt");
}

TEST(SincResample, EqualsTheDefinition) {
  // The last pair has no common divisor: torchaudio's own filter would take 4 GB.
  for (const auto& [from, to] : {std::pair<int, int>{24000, 16000},
                                 {16000, 24000},
                                 {44100, 16000},
                                 {8000, 22050},
                                 {44101, 24000}}) {
    for (const size_t count : {1, 500, 1001}) {
      std::vector<float> samples = noise(from, 1);
      samples.resize(count);
      const std::vector<double> plain = test::direct_sinc(samples, from, to);
      const std::vector<float> want(plain.begin(), plain.end());
      for (const auto precision : {KernelPrecision::kFloat, KernelPrecision::kDouble}) {
        expect_near(resample_sinc(samples, from, to, precision), want, 1e-5,
                    std::to_string(from) + " to " + std::to_string(to));
      }
    }
  }
}

TEST(SincResample, SameRateAndBadRates) {
  const std::vector<float> x = noise(16000, 0.01);
  EXPECT_EQ(resample_sinc(x, 16000, 16000, KernelPrecision::kFloat), x);
  EXPECT_TRUE(resample_sinc({}, 8000, 16000, KernelPrecision::kFloat).empty());
  EXPECT_THROW(resample_sinc(x, 0, 16000, KernelPrecision::kFloat), DataError);
  EXPECT_THROW(resample_sinc(x, 16000, -1, KernelPrecision::kDouble), DataError);
}

}  // namespace
}  // namespace ttsft
