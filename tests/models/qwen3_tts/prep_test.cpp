#include "models/qwen3_tts/prep.h"

#include <gmock/gmock.h>

#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/weights.h"
#include "tests/models/qwen3_tts/fixture.h"
#include "tests/support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/model/registry.h"

namespace ttsft::qwen3_tts::test {
namespace {

using ::testing::HasSubstr;

// A custom-voice checkpoint: no speaker encoder, one speaker of its own.
struct CustomVoicePrep : ::testing::Test {
  CustomVoicePrep() {
    vector = torch::arange(fixture_config().talker.hidden_size).to(torch::kFloat32) / 64;
    write_custom_voice(fixture_path("checkpoint"), fixture_config(), folder / "custom", {},
                       {{"kai", vector}}, {{"kai", 3000}}, false, false);
    config = default_run("qwen3-tts");
    config.checkpoint = folder / "custom";
    config.device = "cpu";
    row.id = "a";
    row.text = "Hello.";
    row.speaker = "Kai";
    row.where = "rows.jsonl line 1";
    row.row = {{"text", "Hello."}, {"audio_codes", nlohmann::ordered_json::array()}};
    row.row["audio_codes"].push_back(std::vector<int64_t>(16, 3));
  }

  TemporaryFolder folder;
  torch::Tensor vector;
  RunConfig config;
  Utterance row;
};

TEST_F(CustomVoicePrep, ARowOfASpeakerThatTheCheckpointNames) {
  SpeechPreparer preparer(ModelContext{config});
  PrepItem item;
  item.utterance = &row;
  preparer.load(item);
  std::vector<PrepItem*> batch = {&item};
  preparer.encode(batch);
  EXPECT_EQ(item.row["audio_codes"].size(), 1u);
  preparer.finish({.rows = {row}, .validation = {}, .voices = {}}, folder.path());
  const Speakers speakers = load_speakers(folder / "speakers.safetensors");
  EXPECT_TRUE(torch::allclose(speakers.at("kai"), vector, 1e-2, 1e-3));
}

TEST_F(CustomVoicePrep, AnotherSpeakersRowIsRefused) {
  const SpeechPreparer preparer(ModelContext{config});
  row.speaker = "mia";
  PrepItem item;
  item.utterance = &row;
  const std::string error = message_of<DataError>([&] { preparer.load(item); });
  EXPECT_THAT(error, HasSubstr("no speaker encoder and names no speaker 'mia'"));
  EXPECT_THAT(error, HasSubstr("rows.jsonl line 1"));
}

TEST_F(CustomVoicePrep, TheAdapterSaysSoBeforeAnythingIsLoaded) {
  const ModelAdapter& adapter = find_model("qwen3-tts");
  const Abilities custom = adapter.abilities(config.checkpoint);
  EXPECT_TRUE(custom.encode_audio);
  EXPECT_FALSE(custom.clone);
  EXPECT_THAT(custom.why_not, HasSubstr("no speaker encoder"));
  const Abilities base = adapter.abilities(fixture_path("checkpoint"));
  EXPECT_TRUE(base.clone);
  EXPECT_TRUE(base.why_not.empty());
  EXPECT_EQ(base.stages, std::vector<std::string>{"lm"});
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
