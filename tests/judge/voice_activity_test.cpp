#include "ttsft/judge/voice_activity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/judge/judge_files.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

const std::string kFixtures = TTSFT_FIXTURES;

std::vector<float> joined(const ordered_json& fixture) {
  std::vector<float> samples;
  for (const std::string name : fixture["names"]) {
    samples.insert(samples.end(), fixture["silence_samples"].get<size_t>(), 0.0f);
    const auto piece = decode_audio(kFixtures + "/austen/wavs/" + name + ".wav").audio.samples;
    samples.insert(samples.end(), piece.begin(), piece.end());
  }
  return samples;
}

TEST(VoiceActivity, HearsWhatUpstreamHears) {
  const auto weights = find_judge("silero_vad/silero_vad_16k_op15.onnx");
  if (!weights) GTEST_SKIP() << "no weights of Silero VAD here; tools/setup fetches them";
  const ordered_json fixture = read_json_object(kFixtures + "/voice_activity.json");
  const std::vector<float> samples = joined(fixture);
  const std::vector<float> heard = load_silero_vad(*weights)->probabilities(samples);
  const auto expected = fixture["probabilities"].get<std::vector<float>>();
  ASSERT_EQ(heard.size(), expected.size());
  for (size_t i = 0; i < heard.size(); ++i) EXPECT_NEAR(heard[i], expected[i], 2e-5) << i;

  const auto spans = speech_spans(heard, static_cast<double>(samples.size()) / kVoiceActivityRate);
  ASSERT_EQ(spans.size(), fixture["spans"].size());
  for (size_t i = 0; i < spans.size(); ++i) {
    EXPECT_NEAR(spans[i].begin * kVoiceActivityRate, fixture["spans"][i][0].get<double>(), 0.5);
    EXPECT_NEAR(spans[i].end * kVoiceActivityRate, fixture["spans"][i][1].get<double>(), 0.5);
  }
}

TEST(VoiceActivity, BatchesOfWindowsAreOneRecording) {
  const auto weights = find_judge("silero_vad/silero_vad_16k_op15.onnx");
  if (!weights) GTEST_SKIP() << "no weights of Silero VAD here; tools/setup fetches them";
  SileroVad vad = load_silero_vad(*weights);
  const ordered_json fixture = read_json_object(kFixtures + "/voice_activity.json");
  std::vector<float> samples = joined(fixture);
  while (samples.size() < 4200 * size_t{kVoiceActivityWindow})  // more than one batch
    samples.insert(samples.end(), samples.begin(), samples.begin() + 100 * kVoiceActivityWindow);
  const std::vector<float> all = vad->probabilities(samples);
  samples.resize(4096 * size_t{kVoiceActivityWindow});
  const std::vector<float> first = vad->probabilities(samples);
  ASSERT_EQ(first.size(), 4096u);
  ASSERT_GT(all.size(), first.size());
  for (size_t i = 0; i < first.size(); ++i) ASSERT_EQ(first[i], all[i]) << i;
  // What the second batch hears depends on the state the first one left.
  EXPECT_NE(vad->probabilities(std::span(samples).last(104 * kVoiceActivityWindow)).back(),
            all.back());
}

TEST(VoiceActivity, HysteresisKeepsShortPausesAndDropsShortSpeech) {
  // Windows of 32 ms: speech, a dip of 96 ms, speech, silence, a click, silence.
  std::vector<float> p(10, 0.9f);
  p.insert(p.end(), 3, 0.1f);
  p.insert(p.end(), 10, 0.4f);  // between the thresholds: goes on
  p.insert(p.end(), 5, 0.9f);
  p.insert(p.end(), 10, 0.1f);
  p.insert(p.end(), 3, 0.9f);
  p.insert(p.end(), 10, 0.1f);
  const auto spans = speech_spans(p, 51 * 0.032);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_DOUBLE_EQ(spans[0].begin, 0);
  EXPECT_DOUBLE_EQ(spans[0].end, 28 * 0.032);
}

TEST(VoiceActivity, SpeechThatRunsToTheEndEndsThere) {
  const std::vector<float> p(20, 0.9f);
  const auto spans = speech_spans(p, 0.63);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_DOUBLE_EQ(spans[0].end, 0.63);
}

TEST(VoiceActivity, OtherWeightsAreRefused) {
  EXPECT_THROW(load_silero_vad(kFixtures + "/austen/metadata.csv"), DataError);
}

}  // namespace
}  // namespace ttsft
