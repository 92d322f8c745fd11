// Whose voice speaks, and what is refused.
#include "models/voxtral/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/voxtral/voices.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/spoken.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"
#include "ttsft/prep/prep.h"

namespace ttsft::voxtral::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SynthTest : public testing::Test {
 protected:
  SynthTest() : config_(default_run("voxtral")) {
    config_.checkpoint = checkpoint();
    config_.device = "cpu";
    config_.precision = "fp32";
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  std::unique_ptr<Synthesizer> make() const {
    const CheckpointRef base{"base", config_.checkpoint, CheckpointKind::kBase};
    return find_model("voxtral").make_synthesizer(make_context(config_), {base, {}}, 1.0);
  }
  // Rows of the voice in the prompt of a text.
  torch::Tensor voice() const {
    const auto synth = make();
    synth->load();
    const Tokenizer tokenizer(checkpoint());
    const int64_t behind = std::ssize(tokenizer.prompt().behind_voice(tokenizer.encode("a")));
    const torch::Tensor inputs = synth->prompt("a", 1, {}).inputs;
    return inputs.narrow(0, 2, inputs.size(0) - 2 - behind);
  }
  torch::Tensor rows_of(const std::string& id) const {
    const torch::NoGradGuard no_grad;
    Lm lm = loaded_lm();
    return voice_rows(lm, clip_codes(id));
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(SynthTest, AVoiceOfTheReleaseComesBeforeARecording) {
  config_.data.speaker = "casual_male";
  config_.data.reference = fixture().path("audio/ref.wav");
  expect_equal(voice(), read_voice(checkpoint(), read_config(checkpoint()), "casual_male"));
  config_.data.speaker = "somebody";
  expect_close(voice(), rows_of("ref"), 1e-6);
}

TEST_F(SynthTest, AFileOfCodesIsAVoiceWithoutAnEncoder) {
  fs::copy(checkpoint(), folder_ / "bare", fs::copy_options::recursive);
  fs::remove(folder_ / "bare" / kEncoderFile);
  config_.checkpoint = folder_ / "bare";
  save_tensors(folder_ / "voice.safetensors", {{"codes", clip_codes("c")}});
  config_.data.reference = folder_ / "voice.safetensors";
  expect_close(voice(), rows_of("c"), 1e-6);
  config_.data.reference = fixture().path("audio/ref.wav");
  EXPECT_THAT(message_of<DataError>([&] { voice(); }), HasSubstr("audio_tokenizer.encoder_blocks"));
}

TEST_F(SynthTest, ThePreparedSetLendsItsLongestClip) {
  config_.data.source = fixture().path("audio/metadata.csv");
  config_.data.prepared = folder_ / "prepared";
  config_.data.validation.share = 0;
  run_prep(config_, find_model("voxtral"), {});
  expect_close(voice(), rows_of("c"), 1e-6);
}

TEST_F(SynthTest, WithoutAVoiceThoseThereAreAreListed) {
  config_.data.speaker = "nobody";
  const std::string what = message_of<UsageError>([&] { voice(); });
  EXPECT_THAT(what, HasSubstr("'nobody'"));
  EXPECT_THAT(what, HasSubstr("neutral_female, casual_male"));
}

TEST_F(SynthTest, TheEndMayNotComeFirst) {
  config_.data.speaker = "casual_male";
  const auto synth = make();
  synth->load();
  EXPECT_EQ(synth->plan({}).rules.size(), 1u);
  EXPECT_TRUE(synth->plan({}).sampling.greedy) << "as upstream, which samples nothing";
  options().min_frames = 0;
  EXPECT_TRUE(synth->plan({}).rules.empty());
  config_.synth.top_k = 50;
  EXPECT_FALSE(synth->plan({}).sampling.greedy);
}

TEST_F(SynthTest, TextIsTakenAsItStandsAndLongTextIsCutAtSentences) {
  const auto synth = make();
  EXPECT_THAT(synth->segments("  Two  spaces "), ::testing::ElementsAre("  Two  spaces "));
  options().segment_characters = 20;
  EXPECT_THAT(synth->segments("The first sentence. The second one."),
              ::testing::ElementsAre("The first sentence.", "The second one."));
}

TEST_F(SynthTest, WrongNoiseIsNamed) {
  const auto synth = make();
  EXPECT_THAT(message_of<DataError>([&] {
                synth->recorded({{"z", torch::zeros({3, 36})}});
              }),
              HasSubstr("known: noise"));
  EXPECT_THAT(message_of<DataError>([&] {
                synth->recorded({{"noise", torch::zeros({3, 35})}});
              }),
              HasSubstr("[frames, 36]"));
}

TEST_F(SynthTest, OtherFoldersAreNotTaken) {
  const ModelAdapter& voxtral = find_model("voxtral");
  EXPECT_THAT(voxtral.recognise(checkpoint()), HasSubstr("voxtral_encoder.safetensors"));
  folder_.write("params.json", R"({"multimodal": {"whisper_model_args": {}}})");
  EXPECT_THAT(message_of<DataError>([&] { voxtral.recognise(folder_.path()); }),
              HasSubstr("speech recognition"));
  folder_.write("params.json", R"({"dim": 4096})");
  EXPECT_EQ(voxtral.recognise(folder_.path()), "");
}

}  // namespace
}  // namespace ttsft::voxtral::test
