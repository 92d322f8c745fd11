#include "src/curate/sound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "ttsft/audio/audio.h"

namespace ttsft {
namespace {

// Noise of that level in dB, seconds long.
std::vector<float> noise(double seconds, double db, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0, static_cast<float>(std::pow(10.0, db / 20)));
  std::vector<float> samples(static_cast<size_t>(seconds * kCurateRate));
  for (float& x : samples) x = draw(random);
  return samples;
}

void add(std::vector<float>& samples, double at, const std::vector<float>& sound,
         double factor = 1) {
  const auto first = static_cast<size_t>(at * kCurateRate);
  for (size_t i = 0; i < sound.size() && first + i < samples.size(); ++i)
    samples[first + i] += static_cast<float>(factor * sound[i]);
}

// Chords of decaying partials, a new one every half second.
std::vector<float> music(double seconds) {
  std::vector<float> samples(static_cast<size_t>(seconds * kCurateRate), 0.0f);
  const int steps[] = {0, 5, 7, 3, 8, 2};
  for (int chord = 0; chord * 0.5 < seconds; ++chord) {
    for (const int third : {0, 4, 7}) {
      const double pitch = 220 * std::pow(2.0, (steps[chord % 6] + third) / 12.0);
      std::vector<float> note(static_cast<size_t>(0.65 * kCurateRate), 0.0f);
      for (int partial = 1; partial * pitch < 7500 && partial < 12; ++partial)
        for (size_t i = 0; i < note.size(); ++i) {
          const double t = static_cast<double>(i) / kCurateRate;
          note[i] +=
              static_cast<float>(std::min(t / 0.02, 1.0) * std::exp(-2 * t) * 0.03 *
                                 std::sin(2 * std::numbers::pi * pitch * partial * t) / partial);
        }
      add(samples, chord * 0.5, note);
    }
  }
  return samples;
}

std::vector<float> sentence(const char* name) {
  return decode_audio(std::string(TTSFT_FIXTURES "/austen/wavs/") + name + ".wav").audio.samples;
}

TEST(Sound, EdgesMoveToWhereTheSoundIs) {
  std::vector<float> samples = noise(6, -80);
  add(samples, 1.03, noise(2.0, -25, 2));
  add(samples, 4.11, noise(1.0, -25, 3));
  std::vector<SpeechSpan> speech = {{1.15, 2.9}, {4.2, 5.05}};
  refine_edges(speech, Levels(samples), 6);
  EXPECT_NEAR(speech[0].begin, 1.03, 0.011);
  EXPECT_NEAR(speech[0].end, 3.03, 0.011);
  EXPECT_NEAR(speech[1].begin, 4.11, 0.011);
  EXPECT_NEAR(speech[1].end, 5.11, 0.011);
}

TEST(Sound, EdgesStayOnTheirSideOfAPause) {
  std::vector<float> samples = noise(4, -30);  // as loud as the speech
  std::vector<SpeechSpan> speech = {{1, 2}, {2.1, 3}};
  refine_edges(speech, Levels(samples), 4);
  EXPECT_LE(speech[0].end, 2.06);
  EXPECT_GE(speech[1].begin, 2.04);
}

TEST(Sound, LevelsComeToTheSame) {
  for (const double db : {-50.0, -30.0, -10.0}) {
    std::vector<float> samples = noise(4, -90);
    add(samples, 1, noise(2, db, 5));
    const double loud = listening_gain(samples);
    for (float& x : samples) x *= static_cast<float>(loud);
    const Levels levels(samples);
    const double gain = speech_gain(levels, {{1, 3}});
    EXPECT_NEAR(db + 20 * std::log10(loud * gain), kSpeechLevel, 0.3) << db;
  }
  EXPECT_EQ(listening_gain(std::vector<float>(16000, 0.0f)), 0);
}

TEST(Sound, TheBackgroundIsThatOfThePausesNearby) {
  std::vector<float> samples = noise(20, -60);
  add(samples, 10, noise(10, -40, 7));  // later it gets loud
  add(samples, 3, noise(3, -20, 8));
  add(samples, 14, noise(3, -20, 9));
  const std::vector<SpeechSpan> speech = {{3, 6}, {14, 17}};
  const Levels levels(samples);
  EXPECT_NEAR(background_level(levels, speech, speech[0]), -60, 1);
  EXPECT_NEAR(background_level(levels, speech, speech[1]), -40, 1);
}

TEST(Sound, SpeechIsNotMusic) {
  for (const char* name :
       {"austen-0870", "austen-0880", "austen-0890", "austen-0920", "austen-0930"})
    EXPECT_LT(tonal_share(sentence(name)), 0.08) << name;
  EXPECT_GT(tonal_share(music(6)), 0.6);
}

TEST(Sound, MusicBehindSpeechIsHeard) {
  std::vector<float> speech = sentence("austen-0870");
  const double ratio = std::pow(10.0, -15.0 / 20);
  const std::vector<float> background = music(7);
  double a = 0, b = 0;
  for (const float x : speech) a += x * x;
  for (const float x : background) b += x * x;
  add(speech, 0, background, ratio * std::sqrt(a / b));
  EXPECT_GT(tonal_share(speech), 0.25);
}

}  // namespace
}  // namespace ttsft
