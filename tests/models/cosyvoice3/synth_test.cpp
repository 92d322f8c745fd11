// Modes and voices: which one is spoken, and what each needs.
#include "models/cosyvoice3/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/cosyvoice3/cosyvoice3_fixture.h"
#include "tests/support/spoken.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"

namespace ttsft::cosyvoice3::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Ids = std::vector<int64_t>;

class SynthTest : public testing::Test {
 protected:
  SynthTest() : config_(default_run("cosyvoice3")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.device = "cpu";
    config_.precision = "fp32";
    config_.data.reference = fixture().path("audio/ref.wav");
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  std::unique_ptr<Synthesizer> make() const {
    const CheckpointRef base{"base", config_.checkpoint, CheckpointKind::kBase};
    return find_model("cosyvoice3").make_synthesizer(make_context(config_), {base, {}}, 1.0);
  }
  Ids greedy(const std::string& text) const {
    const auto synth = make();
    const auto rows = test_rows(*synth, text);
    const torch::Tensor codes = rows[0].codes.contiguous();
    return {codes.data_ptr<int64_t>(), codes.data_ptr<int64_t>() + codes.numel()};
  }
  static std::vector<DecodedRow> test_rows(Synthesizer& synth, const std::string& text) {
    return ttsft::test::decode_all(synth, {{text, 1}}, {.greedy = true, .max_frames = 20});
  }

  RunConfig config_;
};

// The texts that upstream spoke are in its prompts, as ids.
TEST_F(SynthTest, EachModeIsChosenByWhatIsGiven) {
  const auto codes = [](const char* mode) {
    return expected_json("synth")[mode]["flow_tokens"].get<Ids>();
  };
  const std::string text = "a sentence to speak";
  Ids spoken = greedy(text);
  options().mode = "cross_lingual";
  EXPECT_EQ(greedy(text), spoken) << "a recording without its words";
  options().mode = "auto";
  options().reference_text = "What the recording says.";
  const Ids cloned = greedy(text);
  EXPECT_NE(cloned, spoken);
  options().mode = "zero_shot";
  EXPECT_EQ(greedy(text), cloned);
  options().mode = "auto";
  config_.data.instruct = "Please say it slowly.";
  const Ids instructed = greedy(text);
  EXPECT_NE(instructed, cloned) << "an instruction goes before the words";
  options().mode = "instruct2";
  EXPECT_EQ(greedy(text), instructed);
  options().mode = "auto";
  config_.data.instruct.clear();
  config_.data.reference.clear();
  config_.data.speaker = "sft_spk";
  const Ids stored = greedy(text);
  options().mode = "sft";
  EXPECT_EQ(greedy(text), stored);
  EXPECT_FALSE(codes("sft").empty());
}

TEST_F(SynthTest, AStoredPromptIsTheRecordingItCameFrom) {
  options().mode = "zero_shot";
  config_.data.reference.clear();
  config_.data.speaker = "zs_spk";
  EXPECT_NO_THROW(make());
  config_.data.speaker = "sft_spk";
  EXPECT_THAT(message_of<UsageError>([&] { make(); }), HasSubstr("mode: sft"));
}

TEST_F(SynthTest, WhatAModeLacksIsNamedWithItsKey) {
  options().mode = "zero_shot";
  EXPECT_THAT(message_of<UsageError>([&] { greedy("a"); }), HasSubstr("cosyvoice3.reference_text"));
  options().mode = "instruct2";
  EXPECT_THAT(message_of<UsageError>([&] { greedy("a"); }), HasSubstr("data.instruct"));
  options().mode = "sft";
  config_.data.speaker.clear();
  EXPECT_THAT(message_of<UsageError>([&] { make(); }), HasSubstr("data.speaker"));
  config_.data.speaker = "nobody";
  EXPECT_THAT(message_of<UsageError>([&] { make(); }), HasSubstr("sft_spk"));
  options().mode = "cross_lingual";
  config_.data.reference.clear();
  EXPECT_THAT(message_of<UsageError>([&] { make(); }), HasSubstr("data.reference"));
}

TEST_F(SynthTest, ARecordingBelowSixteenKilohertzIsRefused) {
  const TemporaryFolder folder;
  write_wav(folder / "low.wav", std::vector<float>(24000, 0.1F), 12000);
  config_.data.reference = folder / "low.wav";
  EXPECT_THAT(message_of<DataError>([&] { make(); }), HasSubstr("16 kHz"));
}

TEST_F(SynthTest, AShortTextBehindALongReferenceIsWarnedOfOnce) {
  options().reference_text = "What the recording says, which is far longer than the text.";
  const auto synth = make();
  synth->load();
  testing::internal::CaptureStderr();
  synth->prompt("a short one", 1, {});
  synth->prompt("another one", 1, {});
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("11 characters behind a reference of 59"));
  EXPECT_EQ(log.find("characters"), log.rfind("characters"));
}

TEST_F(SynthTest, SpeechEndsByItsOwnLimits) {
  options().max_token_text_ratio = 3;
  options().min_token_text_ratio = 0;
  const auto synth = make();
  synth->load();
  const RowPrompt prompt = synth->prompt("a sentence", 1, {});
  EXPECT_EQ(prompt.at_least, 0);
  EXPECT_EQ(prompt.at_most % 3, 0);
  const auto rows = test_rows(*synth, "a sentence");
  EXPECT_LE(rows[0].codes.numel(), prompt.at_most);
}

}  // namespace
}  // namespace ttsft::cosyvoice3::test
