#include "src/prep/speaker_voices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/temporary_folder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kRate = 16000;

std::vector<float> tone(double seconds, float level = 0.3f) {
  std::vector<float> samples(static_cast<size_t>(seconds * kRate));
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto t = static_cast<double>(i) / kRate;
    samples[i] = level * static_cast<float>(std::sin(2765 * t) + std::sin(40000 * t)) / 2;
  }
  return samples;
}

class SpeakerVoices : public ::testing::Test {
 protected:
  Utterance& add(const std::string& id, const std::string& speaker,
                 const std::vector<float>& samples) {
    Utterance row;
    row.id = id;
    row.where = "row " + id;
    row.speaker = speaker;
    row.text = "text of " + id;
    row.audio_path = folder_ / (id + ".wav");
    write_wav(row.audio_path, samples, kRate);
    rows_.push_back(std::move(row));
    return rows_.back();
  }
  std::map<std::string, std::string> chosen(
      const ReferenceChoice& given = {}, const std::map<std::string, std::string>& earlier = {}) {
    std::map<std::string, std::string> clips;
    for (const auto& [speaker, voice] : choose_voices(rows_, given, earlier, limits_))
      clips[speaker] = voice.clip.empty() ? voice.file.filename().string() : voice.clip;
    return clips;
  }

  TemporaryFolder folder_;
  std::vector<Utterance> rows_;
  AudioLimits limits_{.sample_rate = kRate};
};

using Chosen = std::map<std::string, std::string>;

TEST_F(SpeakerVoices, TheLongestCleanClipBetweenThreeAndTenSeconds) {
  add("short", "anna", tone(1));
  add("good", "anna", tone(5));
  add("better", "anna", tone(8));
  add("long", "anna", tone(14));
  std::vector<float> clipped = tone(9, 3);
  for (float& sample : clipped) sample = std::clamp(sample, -1.f, 1.f);
  add("clipped", "anna", clipped);
  std::vector<float> silent = tone(9);
  std::fill(silent.begin() + kRate, silent.end() - kRate, 0.f);
  add("mostly-silent", "anna", silent);
  add("only", "boris", tone(2));
  Utterance encoded;
  encoded.id = "codes";
  encoded.speaker = "nobody";
  rows_.push_back(encoded);
  EXPECT_EQ(chosen(), (Chosen{{"anna", "better"}, {"boris", "only"}}));
  EXPECT_EQ(choose_voices(rows_, {}, {}, limits_).at("anna").text, "text of better");
  // What was chosen stays, as long as it is there.
  EXPECT_EQ(chosen({}, {{"anna", "good"}, {"boris", "gone"}}),
            (Chosen{{"anna", "good"}, {"boris", "only"}}));
}

TEST_F(SpeakerVoices, WhatIsNamedCountsMore) {
  add("a", "anna", tone(5));
  add("b", "boris", tone(5)).reference_path = folder_ / "a.wav";
  write_wav(folder_ / "given.wav", tone(3), kRate);
  ReferenceChoice choice;
  choice.by_speaker = {{"anna", folder_ / "given.wav"}};
  EXPECT_EQ(chosen(choice), (Chosen{{"anna", "given.wav"}, {"boris", "a.wav"}}));
  choice.by_speaker = {{"anna", folder_ / "a.wav"}};
  EXPECT_EQ(chosen(choice).at("anna"), "a");  // a clip of the set, whose words are known
}

TEST_F(SpeakerVoices, ASilentReferenceIsRefused) {
  write_wav(folder_ / "zeros.wav", std::vector<float>(3 * kRate, 0.f), kRate);
  write_wav(folder_ / "blink.wav", tone(0.02), kRate);
  for (const char* file : {"zeros.wav", "blink.wav"}) {
    ReferenceChoice choice;
    choice = folder_ / file;
    EXPECT_THAT(message_of<DataError>([&] {
                  check_references({}, choice, kRate, GuardPolicy(), [](auto&, auto&) {});
                }),
                AllOf(HasSubstr("data.reference"), HasSubstr(file), HasSubstr("3 to 10 s")));
  }
  // Of a row: that row, and no other.
  add("a", "anna", tone(5)).reference_path = folder_ / "zeros.wav";
  add("b", "anna", tone(5)).reference_path = folder_ / "a.wav";
  std::vector<std::string> refused;
  check_references(rows_, {}, kRate, GuardPolicy(), [&](const Utterance& row, const Finding& why) {
    refused.push_back(row.id + ": " + why.guard);
  });
  EXPECT_THAT(refused, ElementsAre("a: audio_silent"));
}

}  // namespace
}  // namespace ttsft
