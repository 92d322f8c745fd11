// Conversations, voices, and what is refused.
#include "models/fish_s2_pro/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "tests/support/spoken.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/registry.h"

namespace ttsft::fish_s2_pro::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SynthTest : public testing::Test {
 protected:
  SynthTest() : config_(default_run("fish-s2-pro")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.device = "cpu";
    config_.precision = "fp32";
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  std::unique_ptr<Synthesizer> make() const {
    const CheckpointRef base{"base", config_.checkpoint, CheckpointKind::kBase};
    return find_model("fish-s2-pro").make_synthesizer(make_context(config_), {base, {}}, 1.0);
  }
  // Greedy, as the engine speaks a text.
  std::vector<torch::Tensor> speak(const std::string& text, int64_t frames) const {
    const auto synth = make();
    synth->load();
    std::vector<SpokenSegment> said;
    for (const std::string& segment : synth->segments(text)) {
      const RowPrompt prompt = synth->prompt(segment, 1, said);
      const auto rows = ttsft::test::decode_all(synth->language_model(),
                                                synth->plan({.greedy = true, .max_frames = frames}),
                                                synth->tensor_options(), {prompt});
      said.push_back({segment, rows[0].codes, 1});
    }
    std::vector<torch::Tensor> codes;
    for (const SpokenSegment& segment : said) codes.push_back(segment.codes);
    return codes;
  }
  static torch::Tensor codes_of(const nlohmann::json& levels) {
    std::vector<torch::Tensor> rows;
    for (const auto& level : levels)
      rows.push_back(torch::tensor(level.get<std::vector<int64_t>>(), torch::kInt64));
    return torch::stack(rows, 1);  // [F, 10]
  }

  RunConfig config_;
};

TEST_F(SynthTest, AClonedVoiceIsUpstreams) {
  const auto& clone = expected_json("synth")["clone"];
  config_.data.reference = fixture().path("ref/ref.wav");
  options().reference_text = clone["ref_text"].get<std::string>();
  const torch::Tensor wanted = codes_of(clone["codes"]);
  expect_equal(speak(clone["text"], wanted.size(0)).at(0), wanted);
}

TEST_F(SynthTest, EarlierTurnsAreHeard) {
  const auto& turns = expected_json("synth")["turns"];
  options().chunk_length = turns["chunk_length"];
  const auto& wanted = turns["codes_per_batch"];
  const auto said = speak(turns["text"], codes_of(wanted[0]).size(0));
  ASSERT_EQ(said.size(), wanted.size());
  for (size_t i = 0; i < said.size(); ++i) expect_equal(said[i], codes_of(wanted[i]));
}

TEST_F(SynthTest, ATextWithoutATagIsSpeakerZeros) {
  EXPECT_THAT(make()->segments("hello world"), ElementsAre("<|speaker:0|>hello world"));
  EXPECT_THAT(make()->segments("<speaker:2>hello"), ElementsAre("<|speaker:2|>hello"));
  options().speaker_tag = false;
  EXPECT_THAT(make()->segments("hello world"), ElementsAre("hello world"));
}

TEST_F(SynthTest, WhatWouldBreakThePromptIsRefused) {
  EXPECT_THAT(message_of<UsageError>([&] { make()->segments("a <|im_end|> b"); }),
              HasSubstr("<|im_end|>"));
  config_.data.reference = fixture().path("ref/ref.wav");
  EXPECT_THAT(message_of<UsageError>([&] { make()->load(); }),
              HasSubstr("fish-s2-pro.reference_text"));
  options().reference_text = "say <|voice|>";
  EXPECT_THAT(message_of<UsageError>([&] { make()->load(); }), HasSubstr("<|voice|>"));
}

TEST_F(SynthTest, OtherReleasesAreRefusedByName) {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "dual_ar", "dim": 1024})");
  folder.write("special_tokens.json", "{}");
  const auto recognise = [&] { find_model("fish-s2-pro").recognise(folder.path()); };
  EXPECT_THAT(message_of<DataError>(recognise), HasSubstr("OpenAudio S1-mini"));
  folder.write("config.json", R"({"model_type": "dual_ar", "dim": 4096})");
  EXPECT_THAT(message_of<DataError>(recognise), HasSubstr("OpenAudio S1 "));
  std::filesystem::remove(folder / "special_tokens.json");
  EXPECT_THAT(message_of<DataError>(recognise), HasSubstr("fish-speech 1.x"));
  folder.write("config.json", R"({"model_type": "qwen3"})");
  EXPECT_EQ(find_model("fish-s2-pro").recognise(folder.path()), "");
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
