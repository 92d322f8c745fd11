#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "audio/audio_support.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using namespace testing_audio;
using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const std::filesystem::path& file) {
  try {
    decode_audio(file);
  } catch (const DataError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Decode, IntegersBecomeExactFractions) {
  const AudioFile file = decode_audio(kAudio / "values_s16.wav");
  EXPECT_EQ(file.audio.sample_rate, 16000);
  EXPECT_EQ(file.channels, 1);
  EXPECT_EQ(file.container, "wav");
  EXPECT_EQ(file.codec, "pcm_s16le");
  std::vector<float> want;
  for (int v : {0, 1, -1, 2, 255, -256, 12345, -12345, 32767, -32768}) want.push_back(v / 32768.0f);
  EXPECT_EQ(file.audio.samples, want);

  want.clear();
  for (int v : {0, 1, -1, 256, -256, 1234567, -1234567, 8388607, -8388608, 4194304}) {
    want.push_back(float(v) / 8388608.0f);
  }
  EXPECT_EQ(decode_audio(kAudio / "values_s24.wav").audio.samples, want);

  want.clear();
  for (double v : {0.0, 1.0, -1.0, 65536.0, -65536.0, 1073741824.0, -1073741824.0, 2147483647.0,
                   -2147483648.0, 123456789.0}) {
    want.push_back(float(v / 2147483648.0));
  }
  EXPECT_EQ(decode_audio(kAudio / "values_s32.wav").audio.samples, want);

  want.clear();
  for (int v : {128, 129, 127, 0, 255, 64, 192, 128, 1, 254}) want.push_back((v - 128) / 128.0f);
  EXPECT_EQ(decode_audio(kAudio / "values_u8.wav").audio.samples, want);
}

TEST(Decode, FloatsStayAsTheyAre) {
  const std::vector<float> want = {0, 1.0f, -1.0f, 0.1f, -0.1f, 1.5f, -2.0f, 1e-8f, 0.25f, -0.5f};
  EXPECT_EQ(decode_audio(kAudio / "values_f32.wav").audio.samples, want);
  EXPECT_EQ(decode_audio(kAudio / "values_f64.wav").audio.samples, want);
}

TEST(Decode, ChannelsAreAveragedAndMeasuredBefore) {
  const AudioFile file = decode_audio(kAudio / "values_stereo_s16.wav");
  EXPECT_EQ(file.channels, 2);
  std::vector<float> want;
  for (double v : {200.0, 0.0, 32767.0, -16384.0, 1.5}) want.push_back(float(v / 32768));
  EXPECT_EQ(file.audio.samples, want);
  ASSERT_EQ(file.channel_rms.size(), 2u);
  const auto square = [](double v) { return v / 32768 * v / 32768; };
  EXPECT_NEAR(file.channel_rms[0],
              std::sqrt((2 * square(100) + square(32767) + square(32768) + square(1)) / 5), 1e-12);
  EXPECT_NEAR(file.channel_rms[1],
              std::sqrt((square(300) + square(100) + square(32767) + square(2)) / 5), 1e-12);
}

struct ToneFile {
  const char* name;
  const char* codec;
  int sample_rate, channels;
  double tolerance;  // against the sine that was encoded
  double padding;    // seconds that FFmpeg leaves behind the end
};

class DecodeTone : public testing::TestWithParam<ToneFile> {};

// The sine starts at 0 with phase 0: an encoder delay left in would shift it.
TEST_P(DecodeTone, GivesTheSineThatWasEncoded) {
  const ToneFile& want = GetParam();
  const AudioFile file = decode_audio(kAudio / want.name);
  EXPECT_EQ(file.codec, want.codec);
  EXPECT_EQ(file.audio.sample_rate, want.sample_rate);
  EXPECT_EQ(file.channels, want.channels);
  EXPECT_EQ(int(file.channel_rms.size()), want.channels);
  const std::vector<float> sine = tone(440, want.sample_rate, 0.3);
  ASSERT_GE(file.audio.samples.size(), sine.size());
  EXPECT_LE(file.audio.seconds(), 0.3 + want.padding + 1e-9);
  double worst = 0;
  // The first and last 20 ms of a lossy codec ring.
  const size_t edge = want.tolerance < 1e-3 ? 0 : size_t(want.sample_rate / 50);
  for (size_t i = edge; i + edge < sine.size(); ++i) {
    worst = std::max(worst, double(std::abs(file.audio.samples[i] - sine[i])));
  }
  EXPECT_LT(worst, want.tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, DecodeTone,
    testing::Values(ToneFile{"tone_16k.wav", "pcm_s16le", 16000, 1, 1e-4, 0},
                    ToneFile{"tone_44k_stereo.flac", "flac", 44100, 2, 1e-4, 0},
                    ToneFile{"tone_24k_24bit.flac", "flac", 24000, 1, 1e-4, 0},
                    ToneFile{"tone_48k_stereo_alac.m4a", "alac", 48000, 2, 1e-4, 0},
                    ToneFile{"tone_44k.mp3", "mp3", 44100, 1, 0.01, 0},
                    ToneFile{"tone_22k_stereo.mp3", "mp3", 22050, 2, 0.01, 0},
                    ToneFile{"tone_22k.ogg", "vorbis", 22050, 1, 0.01, 0.02},
                    ToneFile{"tone_48k_opus.ogg", "opus", 48000, 1, 0.02, 0},
                    ToneFile{"tone_44k.m4a", "aac", 44100, 1, 0.01, 0.003}),
    [](const auto& test) {
      std::string name = test.param.name;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      return name;
    });

TEST(Decode, RefusesWhatIsNoAudioInOneLine) {
  EXPECT_THAT(error_of(kAudio / "none.wav"), AllOf(HasSubstr("no such"), HasSubstr("none.wav")));
  EXPECT_THAT(error_of(kAudio), HasSubstr("not an audio file"));
  EXPECT_THAT(error_of(kAudio / "not_audio.wav"),
              AllOf(HasSubstr("not_audio.wav"), HasSubstr("Invalid data")));
  EXPECT_THAT(error_of(kAudio / "video_only.mp4"), HasSubstr("no audio in this file"));
  EXPECT_THAT(error_of(kAudio / "empty.wav"), HasSubstr("no samples"));
  const TemporaryFolder folder;
  EXPECT_THAT(error_of(folder.write("zero.wav", "")), HasSubstr("zero.wav"));
  for (const char* name : {"none.wav", "not_audio.wav", "empty.wav"}) {
    EXPECT_THAT(error_of(kAudio / name), testing::Not(HasSubstr("\n")));
  }
}

TEST(Decode, RefusesDamageInTheMiddle) {
  const TemporaryFolder folder;
  for (const char* name : {"tone_44k_stereo.flac", "tone_24k_24bit.flac", "tone_44k.m4a",
                           "tone_48k_stereo_alac.m4a"}) {
    std::string bytes = read_bytes(kAudio / name);
    ASSERT_GT(bytes.size(), 2000u);
    const bool flac = std::string(name).ends_with("flac");  // padding first; m4a: index last
    const size_t begin = flac ? bytes.size() - 600 : bytes.size() / 3;
    for (size_t i = begin; i < begin + 200; ++i) bytes[i] = char(i * 37);
    EXPECT_THAT(error_of(folder.write(name, bytes)), AllOf(HasSubstr("damaged"), HasSubstr(name)));
  }
}

TEST(Decode, ALastFrameThatIsNotWholeIsDropped) {
  const TemporaryFolder folder;
  write_wav(folder / "whole.wav", std::vector<float>(28800, 0.25f), 24000);
  const std::string bytes = read_bytes(folder / "whole.wav");
  const AudioFile cut = decode_audio(folder.write("cut.wav", bytes.substr(0, bytes.size() - 1)));
  EXPECT_EQ(cut.audio.samples.size(), 28799u);
  EXPECT_THAT(error_of(folder.write("short.wav", bytes.substr(0, bytes.size() - 2))),
              HasSubstr("cut off"));
}

TEST(Decode, RefusesACopyThatBrokeOff) {
  const TemporaryFolder folder;
  // One second of wav of which only the first tenth arrived.
  write_wav(folder / "cut.wav", noise(16000, 1), 16000);
  const std::string bytes = read_bytes(folder / "cut.wav");
  EXPECT_THAT(error_of(folder.write("cut.wav", bytes.substr(0, 44 + 3200))), HasSubstr("cut off"));
  for (const char* name : {"tone_44k_stereo.flac", "tone_44k.m4a"}) {
    const std::string whole = read_bytes(kAudio / name);
    EXPECT_NE(error_of(folder.write(name, whole.substr(0, whole.size() / 3))), "no error") << name;
  }
}

TEST(Decode, TakesAWavOfUnknownLength) {  // as written to a pipe: both size fields are all ones
  const TemporaryFolder folder;
  std::string bytes = read_bytes(kAudio / "tone_16k.wav");
  bytes.replace(4, 4, "\xff\xff\xff\xff");
  bytes.replace(bytes.find("data") + 4, 4, "\xff\xff\xff\xff");
  EXPECT_EQ(decode_audio(folder.write("pipe.wav", bytes)).audio.samples.size(), 4800u);
}

TEST(Decode, TagsBehindAnMp3AreNoDamage) {
  const TemporaryFolder folder;
  const std::string bytes = read_bytes(kAudio / "tone_44k.mp3");
  const size_t samples = decode_audio(kAudio / "tone_44k.mp3").audio.samples.size();
  std::string id3 = "TAG" + std::string(125, ' ');
  std::string ape = "APETAGEX" + std::string("\xd0\x07\0\0\x40\0\0\0\1\0\0\0\0\0\0\xa0", 16) +
                    std::string(8, '\0') + std::string(32, 'x') + "APETAGEX" +
                    std::string("\xd0\x07\0\0\x40\0\0\0\1\0\0\0\0\0\0\x80", 16) +
                    std::string(8, '\0');
  EXPECT_EQ(decode_audio(folder.write("id3.mp3", bytes + id3)).audio.samples.size(), samples);
  EXPECT_EQ(decode_audio(folder.write("ape.mp3", bytes + ape)).audio.samples.size(), samples);
}

TEST(Decode, NamesMayLookLikeProtocols) {
  const TemporaryFolder folder;
  const auto file = folder.write("http:x é.wav", read_bytes(kAudio / "tone_16k.wav"));
  EXPECT_EQ(decode_audio(file).audio.samples.size(), 4800u);
}

TEST(Decode, SeveralThreadsAtOnce) {
  const auto want = decode_audio(kAudio / "tone_44k.mp3").audio.samples;
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (bool& ok : same) {
    threads.emplace_back([&] { ok = decode_audio(kAudio / "tone_44k.mp3").audio.samples == want; });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(same, testing::Each(true));
}

}  // namespace
}  // namespace ttsft
