#include "src/curate/voices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ttsft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A voice in the plane.
VoiceVector at(double degrees) {
  const double angle = degrees * M_PI / 180;
  return {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
}

TEST(Voices, GroupsByLikenessMostSecondsFirst) {
  const auto groups = group_voices(
      {{at(80), 4}, {at(0), 3}, {at(5), 3}, {at(85), 1}, {at(-4), 3}, {{}, 1}}, {}, 0.8);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_THAT(groups[0].clips, ElementsAre(1, 2, 4));
  EXPECT_DOUBLE_EQ(groups[0].seconds, 9);
  EXPECT_THAT(groups[1].clips, ElementsAre(0, 3));
}

TEST(Voices, GivenGroupsStandFirstAndKeepTheirNames) {
  const auto groups = group_voices({{at(2), 3}, {at(60), 9}}, {{"anna", at(0), {}, 0}}, 0.8);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].name, "anna");
  EXPECT_THAT(groups[0].clips, ElementsAre(0));
  EXPECT_EQ(groups[1].name, "");
  EXPECT_THAT(groups[1].clips, ElementsAre(1));
}

TEST(Voices, AGivenGroupMayBeEmpty) {
  const auto groups = group_voices({{at(90), 3}}, {{"anna", at(0), {}, 0}}, 0.8);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_THAT(groups[0].clips, IsEmpty());
}

TEST(Voices, AMeanIsADirection) {
  const VoiceVector mean = mean_voice({at(0), at(90)}, {1, 1});
  EXPECT_NEAR(mean[0], std::sqrt(0.5), 1e-6);
  EXPECT_NEAR(mean[1], std::sqrt(0.5), 1e-6);
  EXPECT_THAT(mean_voice({{}, {}}), IsEmpty());
}

class CountingEncoder : public SpeakerEncoder {
 public:
  std::string name() const override { return "counting"; }
  std::vector<std::vector<float>> embed(const std::vector<Audio>& clips) override {
    for (const Audio& clip : clips) seconds.push_back(clip.seconds());
    return std::vector<std::vector<float>>(clips.size(), {1});
  }
  double same_speaker() const override { return 0.7; }
  std::vector<double> seconds;
};

TEST(Voices, WindowsCoverTheSpeechToItsEnd) {
  CountingEncoder encoder;
  const std::vector<float> samples(16000 * 10, 0.0f);
  const auto windows = voice_windows(encoder, samples, {{1, 1.5}, {2, 3.2}, {4, 8}});
  std::vector<double> begins;
  for (const VoiceWindow& window : windows) begins.push_back(window.begin);
  EXPECT_THAT(begins, ElementsAre(2.0, 4.0, 4.8, 5.6, ::testing::DoubleNear(6.4, 1e-9)));
  EXPECT_THAT(encoder.seconds,
              ElementsAre(::testing::DoubleNear(1.2, 1e-3), ::testing::DoubleNear(1.6, 1e-3),
                          ::testing::DoubleNear(1.6, 1e-3), ::testing::DoubleNear(1.6, 1e-3),
                          ::testing::DoubleNear(1.6, 1e-3)));
}

}  // namespace
}  // namespace ttsft
