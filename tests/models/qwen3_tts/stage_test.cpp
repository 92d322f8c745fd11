// The stage behind the engines: probes, adapters, the files that train writes.
#include "models/qwen3_tts/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/qwen3_tts/lm_fixture.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/nn/lora.h"

namespace ttsft::qwen3_tts::test {
namespace {

TEST(LmStage, TrainingAndDecodingGiveTheSameLogits) {
  LmFixture lm;
  for (const auto& sample : lm.samples) {
    const Probe train = lm.stage->train_probe(*sample), decode = lm.stage->decode_probe(*sample);
    expect_close(decode.logits, train.logits, 1e-4, sample->id);
    expect_equal(decode.targets, train.targets);
    EXPECT_EQ(train.targets[-1].item<int64_t>(), fixture_config().talker.codec_eos_token_id);
  }
}

TEST(LmStage, LoadsUpstreamsAdapterAndItsLoss) {
  LmFixture lm;
  TemporaryFolder folder;
  std::filesystem::copy_file(fixture_path("expected/adapter_init.safetensors"),
                             folder / "adapter_model.safetensors");
  std::filesystem::copy_file(fixture_path("expected/adapter_config.json"),
                             folder / "adapter_config.json");
  LoraSet adapter = LoraSet::load(lm.stage->module(), folder.path(), torch::kCPU);
  const auto steps = nlohmann::json::parse(read_text(fixture_path("expected/train_lora.json")));
  EXPECT_EQ(adapter.parameter_count(), steps["settings"]["trainable"].get<int64_t>());
  torch::NoGradGuard no_grad;
  const auto batch = lm.batch({0, 1, 2});
  const auto terms = lm.stage->loss(*batch, {});
  EXPECT_NEAR(terms[0].value.mean().item<double>(), steps["steps"][0]["talker_loss"].get<double>(),
              1e-4);
  EXPECT_NEAR(terms[1].value.mean().item<double>(),
              steps["steps"][0]["sub_talker_loss"].get<double>(), 1e-4);

  // Round trip under PEFT's names.
  TemporaryFolder copy;
  save_adapter(adapter, copy.path());
  const SafetensorsReader written = SafetensorsReader::open(copy / "adapter_model.safetensors");
  const auto original = open_fixture("expected/adapter_init.safetensors");
  ASSERT_EQ(written.tensors().size(), original->tensors().size());
  for (const TensorView& view : original->tensors())
    expect_equal(copy_tensor(written.at(view.name)), copy_tensor(view), view.name);
}

TEST(LmStage, WritesTheCompanionsFilesBesideAnAdapter) {
  LmFixture lm;
  TemporaryFolder folder;
  lm.stage->save_beside_adapter(folder.path());
  const auto config = nlohmann::ordered_json::parse(read_text(folder / "config.json"));
  EXPECT_EQ(config, nlohmann::ordered_json::parse(
                        read_text(fixture_path("expected/lora_checkpoint/config.json"))));
  const SafetensorsReader vector =
      SafetensorsReader::open(folder / "speaker_embedding.safetensors");
  expect_close(copy_tensor(vector.at("target_speaker_embedding")),
               copy_tensor(open_fixture("expected/lora_checkpoint/speaker_embedding.safetensors")
                               ->at("target_speaker_embedding")),
               1e-4);
}

TEST(LmStage, WritesUpstreamsFullForm) {
  LmFixture lm;
  TemporaryFolder folder;
  lm.stage->save_full(folder / "full", {});
  const auto names =
      nlohmann::json::parse(read_text(fixture_path("expected/sft_checkpoint/tensor_names.json")));
  const SafetensorsReader file = SafetensorsReader::open(folder / "full");
  std::vector<std::string> written;
  for (const TensorView& view : file.tensors()) written.push_back(view.name);
  EXPECT_THAT(written,
              testing::UnorderedElementsAreArray(names["names"].get<std::vector<std::string>>()));
  EXPECT_EQ(read_text(folder / "full/config.json"),
            read_text(fixture_path("expected/sft_checkpoint/config.json")) + "\n");
  const torch::Tensor table = copy_tensor(file.at("talker.model.codec_embedding.weight"));
  expect_close(table[3000], expected_tensor("prep", "speaker_embedding.ref"), 1e-6);
  // The codec is not copied.
  EXPECT_GT(std::filesystem::hard_link_count(folder / "full/speech_tokenizer/model.safetensors"),
            1u);
  const Config config = read_config(folder / "full");
  EXPECT_EQ(config.variant, Variant::kCustomVoice);
  EXPECT_EQ(config.talker.spk_id.at("speaker_test"), 3000);
}

TEST(LmStage, SeveralSpeakersGetRowsOfTheirOwn) {
  const Speakers speakers{{"anna", torch::ones({16})}, {"ben", torch::zeros({16})}};
  const auto rows = speaker_rows(speakers, fixture_config(), false);
  EXPECT_EQ(rows.at("anna"), 3000);
  EXPECT_EQ(rows.at("ben"), 3001);
  Config taken = fixture_config();
  taken.talker.spk_id = {{"old", 3000}};
  EXPECT_EQ(speaker_rows(speakers, taken, true).at("anna"), 3001);
  taken.talker.vocab_size = 3001;
  EXPECT_THROW(speaker_rows(speakers, taken, false), DataError);
}

TEST(LmStage, RefusesRowsThatCannotBeLearned) {
  LmFixture lm;
  PreparedRow row;
  row.id = "x";
  row.row = {{"text", "He was"}, {"audio_codes", nlohmann::ordered_json::array()}};
  EXPECT_THROW(lm.stage->read(row), DataError);
  row.row["audio_codes"] = {{1, 2, 3}};
  EXPECT_THAT(message_of<DataError>([&] { lm.stage->read(row); }), testing::HasSubstr("16"));
  std::vector<int> frame(16, 1);
  frame[3] = 2048;
  row.row["audio_codes"] = {frame};
  EXPECT_THAT(message_of<DataError>([&] { lm.stage->read(row); }), testing::HasSubstr("2048"));
  frame[3] = 5;
  row.row["audio_codes"] = {frame};
  row.row["speaker"] = "stranger";
  EXPECT_THAT(message_of<DataError>([&] { lm.stage->read(row); }), testing::HasSubstr("stranger"));
}

}  // namespace
}  // namespace ttsft::qwen3_tts::test
