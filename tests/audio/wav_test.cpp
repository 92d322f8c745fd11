#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "audio/audio_support.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/io/safetensors.h"

namespace ttsft {
namespace {

using namespace testing_audio;
using testing::HasSubstr;

std::vector<int> pcm16_of(const std::string& wav) {
  std::vector<int> out;
  for (size_t i = 44; i + 1 < wav.size(); i += 2) {
    int16_t value = 0;
    std::memcpy(&value, wav.data() + i, 2);
    out.push_back(value);
  }
  return out;
}

TEST(WriteWav, Pcm16RoundsDownAndClipsAsLibsndfile) {
  const TemporaryFolder folder;
  const std::vector<float> samples = {0.0f,          0.5f,          -0.5f,   1.0f,
                                      -1.0f,         2.0f,          -3.0f,   1.9f / 32768,
                                      -1.9f / 32768, -0.1f / 32768, -1e-12f, 32767.5f / 32768};
  write_wav(folder / "a.wav", samples, 24000);
  EXPECT_THAT(
      pcm16_of(read_bytes(folder / "a.wav")),
      testing::ElementsAre(0, 16384, -16384, 32767, -32768, 32767, -32768, 1, -2, -1, 0, 32767));
}

TEST(WriteWav, EqualsUpstreamsFileByteForByte) {
  const auto fixtures = kFixtures / "qwen3_tts" / "expected";
  const auto reader = SafetensorsReader::open(fixtures / "synth.safetensors");
  const TensorView& wave = reader.at("xvec.wave");
  std::vector<float> samples(wave.bytes.size() / sizeof(float));
  std::memcpy(samples.data(), wave.bytes.data(), wave.bytes.size());
  const TemporaryFolder folder;
  write_wav(folder / "a.wav", samples, 24000);
  EXPECT_EQ(read_bytes(folder / "a.wav"), read_bytes(fixtures / "synth_xvec.wav"));
}

TEST(WriteWav, EveryFormatIsReadBack) {
  const TemporaryFolder folder;
  const std::vector<float> samples = noise(24000, 0.01);
  for (const auto& [name, step] :
       {std::pair{"pcm16", 1.0 / 32768}, {"pcm24", 1.0 / 8388608}, {"float32", 0.0}}) {
    write_wav(folder / "a.wav", samples, 22050, wav_format_from_name(name));
    const AudioFile file = decode_audio(folder / "a.wav");
    EXPECT_EQ(file.audio.sample_rate, 22050);
    ASSERT_EQ(file.audio.samples.size(), samples.size()) << name;
    for (size_t i = 0; i < samples.size(); ++i) {
      ASSERT_LE(file.audio.samples[i], samples[i]) << name;  // down
      ASSERT_GE(file.audio.samples[i], samples[i] - step) << name;
    }
  }
  write_wav(folder / "odd.wav", std::vector<float>(3, 0.5f), 8000, WavFormat::kPcm24);
  EXPECT_EQ(read_bytes(folder / "odd.wav").size(), 44u + 9u + 1u);  // chunks end at even offsets
  EXPECT_EQ(decode_audio(folder / "odd.wav").audio.samples, std::vector<float>(3, 0.5f));
}

TEST(WriteWav, ReplacesWholeAndLeavesNothingBehind) {
  const TemporaryFolder folder;
  write_wav(folder / "a.wav", noise(16000, 1), 16000);
  write_wav(folder / "a.wav", noise(16000, 0.1), 16000);
  EXPECT_EQ(decode_audio(folder / "a.wav").audio.samples.size(), 1600u);
  const std::filesystem::directory_iterator files(folder / "");
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST(WriteWav, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const std::vector<float> good(10, 0.1f);
  try {
    write_wav(folder / "no/such/folder/a.wav", good, 16000);
    FAIL();
  } catch (const RunError& e) {
    EXPECT_THAT(e.what(), testing::AllOf(HasSubstr("No such file"), HasSubstr("a.wav")));
  }
  std::vector<float> bad = good;
  bad[3] = std::numeric_limits<float>::quiet_NaN();
  try {
    write_wav(folder / "nan.wav", bad, 16000);
    FAIL();
  } catch (const RunError& e) {
    EXPECT_THAT(e.what(), HasSubstr("sample 3"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "nan.wav"));
  EXPECT_THROW(write_wav(folder / "rate.wav", good, 0), RunError);
}

TEST(WavFormatName, KnowsThreeNames) {
  EXPECT_EQ(wav_format_from_name("pcm16"), WavFormat::kPcm16);
  EXPECT_EQ(wav_format_from_name("pcm24"), WavFormat::kPcm24);
  EXPECT_EQ(wav_format_from_name("float32"), WavFormat::kFloat32);
  EXPECT_THROW(wav_format_from_name("mp3"), UsageError);
}

}  // namespace
}  // namespace ttsft
