#include "models/indextts2/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/spoken.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_device.h"
#include "ttsft/core/error.h"
#include "ttsft/model/registry.h"

namespace ttsft::indextts2::test {
namespace {

using ttsft::test::decode_all;
using ttsft::test::sound_of;

using testing::HasSubstr;

torch::Tensor synth(const std::string& name) {
  return expected("synth", name);
}

class SynthTest : public testing::Test {
 protected:
  SynthTest() : config_(default_run("indextts2")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.data.reference = fixture().path("audio/ref.wav");
    config_.synth.beams = 1;
    config_.synth.repetition_penalty = 1.0;
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  SpeechSynthesizer make() {
    return SpeechSynthesizer(ModelContext{config_, ttsft::test::test_device()},
                             {"base", config_.checkpoint}, 1.0);
  }
  static torch::Tensor wave_of(const std::string& name) {
    return torch::tensor(
        decode_audio(fixture().path("expected/synth_" + name + ".wav")).audio.samples);
  }
  static torch::Tensor speak(SpeechSynthesizer& synthesizer, const std::string& text,
                             int64_t limit = 24) {
    return decode_all(synthesizer, {{text, 1}}, {.greedy = true, .max_frames = limit})[0].codes;
  }
  static const nlohmann::json& greedy_case() { return expected_json("synth")["cases"]["greedy"]; }

  RunConfig config_;
};

TEST_F(SynthTest, TheVoiceIsUpstreams) {
  const SpeechSynthesizer synthesizer = make();
  const Voice& voice = synthesizer.voice();
  expect_close(voice.condition, synth("prompt.conditioning"), 2e-3);
  expect_close(voice.mel.mel, synth("greedy.ref_mel"), 1e-3);
  expect_close(voice.mel.style, synth("greedy.style"), 1e-3);
  const int64_t known = voice.mel.mel.size(1);
  expect_close(voice.mel.condition, synth("greedy.cat_condition").narrow(0, 0, known), 1e-3);
  expect_close(voice.emotion, synth("greedy.emo_vec"), 2e-3);
}

TEST_F(SynthTest, EmotionsAreUpstreams) {
  options().emotion_reference = fixture().path("audio/a.wav");
  options().emotion_alpha = 0.6;
  expect_close(make().voice().emotion, synth("emo_audio_alpha06.emo_vec"), 2e-3);
  options() = Options();
  options().emotion_vector =
      expected_json("synth")["cases"]["emo_vector"]["emo_vector"].get<std::vector<double>>();
  options().emotion_reference = fixture().path("audio/a.wav");  // not heard beside a vector
  expect_close(make().voice().emotion, synth("emo_vector.emo_vec"), 2e-3);
}

TEST_F(SynthTest, ATextSoundsAsUpstreams) {
  SpeechSynthesizer synthesizer = make();
  const std::string text = greedy_case()["text"];
  ASSERT_EQ(synthesizer.segments(text).size(), 1u);
  const torch::Tensor codes = speak(synthesizer, synthesizer.segments(text)[0]);
  const auto want = greedy_case()["generated"].get<std::vector<int64_t>>();
  expect_equal(codes, torch::tensor(want).narrow(0, 0, greedy_case()["code_len"].get<int64_t>()));
  const Noise noise = {{"noise", synth("greedy.noise")}};
  EXPECT_EQ(synthesizer.acoustic().sample_rate(), 22050);
  expect_close(sound_of(synthesizer, {{synthesizer.segments(text)[0], 1}}, {{codes}}, &noise)[0],
               wave_of("greedy"), 1e-2);
}

TEST_F(SynthTest, GivenCodesSoundWithoutTheGpt) {
  SpeechSynthesizer synthesizer = make();
  const auto codes =
      torch::tensor(expected_json("synth")["fixed"]["codes"].get<std::vector<int64_t>>());
  const Noise noise = {{"noise", synth("fixed.noise")}};
  const torch::Tensor wave = sound_of(synthesizer, codes, 1, &noise);
  expect_close(wave, wave_of("fixed"), 1e-2);
  expect_equal(sound_of(synthesizer, codes.unsqueeze(1), 1, &noise), wave);
  EXPECT_EQ(sound_of(synthesizer, codes.narrow(0, 0, 0), 1).numel(), 0);
}

TEST_F(SynthTest, GreedySearchesOnlyWhereTheRunFileSaysSo) {
  // With three beams this text comes out otherwise.
  const std::string text = greedy_case()["text"];
  config_.synth.beams = 3;
  SpeechSynthesizer synthesizer = make();
  const torch::Tensor one = speak(synthesizer, text);
  config_.given.insert("synth.beams");
  const torch::Tensor three = speak(synthesizer, text);
  const auto want = greedy_case()["generated"].get<std::vector<int64_t>>();
  expect_equal(one, torch::tensor(want).narrow(0, 0, greedy_case()["code_len"].get<int64_t>()));
  EXPECT_FALSE(torch::equal(one, three));
}

TEST_F(SynthTest, SegmentsKeepTheirIds) {
  options().segment_tokens = 8;
  SpeechSynthesizer synthesizer = make();
  const std::string text = "He was not an ill-disposed young man, she said. Quite so!";
  const auto words = synthesizer.segments(text);
  ASSERT_GT(words.size(), 1u);
  const TextFrontend front(fixture().path("checkpoint"));
  const auto segments = front.segments(text, {8, 0});
  ASSERT_EQ(segments.size(), words.size());
  for (size_t i = 0; i < words.size(); ++i) EXPECT_EQ(segments[i].text(), words[i]);
}

TEST_F(SynthTest, SoundDependsOnTheSeedAlone) {
  SpeechSynthesizer synthesizer = make();
  const std::string text = greedy_case()["text"];
  const auto waves = [&](const std::vector<uint64_t>& seeds) {
    std::vector<ttsft::test::SeededText> texts;
    for (const uint64_t seed : seeds) texts.push_back({text, seed});
    return sound_of(synthesizer, texts,
                    decode_all(synthesizer, texts, {.greedy = true, .max_frames = 24}));
  };
  const auto together = waves({1, 2}), alone = waves({2});
  expect_close(together[1], alone[0], 1e-4);
  EXPECT_FALSE(torch::equal(together[0], together[1]));
}

TEST_F(SynthTest, DurationFactorStretches) {
  const torch::Tensor codes = torch::arange(50);
  const auto seconds = [&] {
    SpeechSynthesizer synthesizer = make();
    return static_cast<double>(sound_of(synthesizer, codes, 1).size(0)) / 22050;
  };
  EXPECT_NEAR(seconds(), 1.0, 0.02);
  options().duration_factor = 1.5;
  EXPECT_NEAR(seconds(), 1.5, 0.02);
}

TEST_F(SynthTest, WrongUse) {
  SpeechSynthesizer synthesizer = make();
  const auto decode = [&](const torch::Tensor& codes, const Noise& noise) {
    return message_of<DataError>(
        [&] { return sound_of(synthesizer, codes, 1, noise.empty() ? nullptr : &noise); });
  };
  const torch::Tensor good = torch::arange(10);
  EXPECT_THAT(decode(torch::zeros({4, 2}, torch::kInt64), {}), HasSubstr("one codebook"));
  EXPECT_THAT(decode(torch::tensor({8192}), {}), HasSubstr("outside 0..8191"));
  EXPECT_THAT(decode(good, {{"z", torch::zeros({1})}}), HasSubstr("tensor noise is missing"));
  EXPECT_THAT(decode(good, {{"noise", torch::zeros({80, 3})}}),
              HasSubstr("prompt and target need"));
  config_.data.reference.clear();
  EXPECT_THAT(message_of<UsageError>([&] { return make(); }), HasSubstr("data.reference"));
  config_.data.reference = fixture().path("audio/nobody.wav");
  EXPECT_THAT(message_of<DataError>([&] { return make(); }), HasSubstr("nobody.wav"));
}

}  // namespace
}  // namespace ttsft::indextts2::test
