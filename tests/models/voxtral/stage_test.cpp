// Training against upstream's modules, whose voice is heard, and what training leaves behind.
#include "models/voxtral/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/voxtral/codes.h"
#include "tests/models/voxtral/voxtral_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/upstream_training.h"
#include "ttsft/core/error.h"
#include "ttsft/eval/eval.h"
#include "ttsft/export/export.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/prep/prep.h"

namespace ttsft::voxtral::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ttsft::test::expect_steps;
using ttsft::test::train_steps;
using Json = nlohmann::ordered_json;

class StageTest : public testing::Test {
 protected:
  StageTest() : config_(default_run("voxtral")) {
    config_.checkpoint = checkpoint();
    config_.run = folder_ / "run";
    config_.accept_license = "cc-by-nc-4.0";
    config_.data.source = fixture().path("audio/metadata.csv");
    config_.data.reference = fixture().path("audio/ref.wav");
    config_.data.prepared = folder_ / "prepared";
    ttsft::test::use_upstreams_settings(config_, "lora", 3);
    config_.train.optimizer.betas = {0.9, 0.999};
    config_.train.optimizer.weight_decay = 0.01;
    std::vector<std::pair<std::string, torch::Tensor>> draws;
    for (int step = 0; step < 8; ++step) {
      for (const std::string id : {"a", "b", "c"}) {
        for (const std::string name : {".x0", ".t", ".drop"})
          draws.emplace_back(
              std::to_string(step + 1) + "." + id + name,
              expected("train_noise", "step" + std::to_string(step) + "." + id + name)
                  .to(torch::kFloat32));
      }
    }
    save_tensors(folder_ / "draws.safetensors", draws);
    config_.train.replay = folder_ / "draws.safetensors";
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  void prepare() { run_prep(config_, find_model("voxtral"), {}); }
  fs::path last() const { return resolve_checkpoint(config_, "last").folder; }
  void expect_curve(const std::vector<nlohmann::json>& steps, const nlohmann::json& wanted) {
    expect_steps(steps, "loss", wanted["steps"], "loss", 1e-5);
    expect_steps(steps, "grad_norm", wanted["steps"], "grad_norm", 1e-3);
    for (size_t i = 0; i < steps.size(); ++i)
      EXPECT_NEAR(steps[i]["loss_terms"]["acoustic"].get<double>(),
                  wanted["steps"][i]["acoustic_fm"].get<double>(), 2e-5);
  }
  Samples samples(Stage& stage) const {
    return read_samples(stage, PreparedSet::open(config_.data.prepared, "voxtral").train);
  }
  std::unique_ptr<Stage> stage() const {
    return find_model("voxtral").make_stage(make_context(config_),
                                            {"base", config_.checkpoint, CheckpointKind::kBase});
  }
  void write_source(const std::vector<Json>& rows) {
    std::string lines;
    for (const Json& row : rows) lines += row.dump() + "\n";
    folder_.write("rows.jsonl", lines);
    config_.data.source = folder_ / "rows.jsonl";
    config_.data.reference.clear();
  }
  static Json coded(const std::string& id, const std::string& speaker) {
    return {{"id", id},
            {"text", clip_text(id)},
            {"speaker", speaker},
            {"codes", codes_json(clip_codes(id))}};
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(StageTest, LoraIsUpstreams) {
  prepare();
  ttsft::test::use_upstreams_adapter(config_, fixture().path("expected"), folder_ / "init");
  expect_curve(train_steps(config_), expected_json("train_lora"));
  const auto written = open_tensor_file(last() / "adapter_model.safetensors"),
             wanted = fixture().file("expected/adapter_final.safetensors");
  ASSERT_EQ(written->tensors().size(), wanted->tensors().size());
  for (const TensorView& view : wanted->tensors())
    expect_close(copy_tensor(written->at(view.name)), copy_tensor(view), 2e-5, view.name);
  // One expression: a list of names would hit the flow's transformer in PEFT's hands.
  const auto config = nlohmann::json::parse(read_text(last() / "adapter_config.json"));
  EXPECT_EQ(config["target_modules"], expected_json("adapter_config")["target_modules"]);
}

TEST_F(StageTest, FullTrainingIsUpstreamsAndLeavesTextAndCodecAlone) {
  prepare();
  config_.train.method = "full";
  expect_curve(train_steps(config_), expected_json("train_full"));
  const auto written = open_tensor_file(last() / kWeightsFile), base = open_weights(checkpoint());
  const auto& names = expected_json("train_full")["settings"]["trained_names"];
  const std::set<std::string> trained(names.begin(), names.end());
  ASSERT_EQ(written->tensors().size(), base->tensors().size());
  for (const TensorView& view : base->tensors())
    EXPECT_NE(torch::equal(copy_tensor(written->at(view.name)), copy_tensor(view)),
              trained.contains(view.name))
        << view.name;
  const auto wanted = fixture().file("expected/train_full_final.safetensors");
  for (const char* name : {"layers.0.attention.wk.weight", "norm.weight",
                           "acoustic_transformer.llm_projection.weight"})
    expect_close(copy_tensor(written->at(name)), copy_tensor(wanted->at(name)), 2e-5, name);
  expect_close(
      copy_tensor(written->at(kCodebookTable))
          .index_select(
              0, expected("train_full_final", "audio_codebook_embeddings.rows").to(torch::kInt64)),
      copy_tensor(wanted->at("audio_codebook_embeddings.values")), 2e-5, "codebooks");
}

TEST_F(StageTest, AVoiceIsTheRowsOwnElseAnotherClipOfItsSpeaker) {
  Json own = coded("a", "x"), preset = coded("b", "x");
  own["ref"] = "c";
  preset["ref"] = "voice:casual_male";
  write_source({own, preset, coded("c", "x"), coded("ref", "x")});
  prepare();
  const auto made = stage();
  const Samples set = samples(*made);
  const auto& speech = [&](size_t i) -> const SpeechSample& {
    return static_cast<const SpeechSample&>(*set[i]);
  };
  expect_equal(speech(0).voice.codes, clip_codes("c"));
  EXPECT_EQ(speech(1).voice.rows.size(0), 7);
  EXPECT_FALSE(speech(2).voice.known());
  std::set<int64_t> heard;
  const Sample* row = set[2].get();
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const auto batch = made->collate(std::span(&row, 1), {.training = true, .seed = seed});
    heard.insert(static_cast<const SpeechBatch&>(*batch).frame_tokens.size(0) - 20 - 1);
  }
  EXPECT_EQ(heard, (std::set<int64_t>{11, 15, 25})) << "every other clip, and never its own";
  EXPECT_EQ(set[2]->length,
            Tokenizer(checkpoint()).prompt().size(26, std::ssize(speech(2).text)) + 20);
}

TEST_F(StageTest, AClipWithoutAVoiceIsRefused) {
  write_source({coded("a", "x"), coded("b", "y")});
  prepare();
  const auto made = stage();
  EXPECT_THAT(message_of<DataError>([&] { samples(*made); }), HasSubstr("data.reference"));
}

TEST_F(StageTest, NothingIsTrainedBeforeTheLicenceIsAccepted) {
  prepare();
  config_.accept_license.clear();
  const auto what = message_of<UsageError>([&] { run_train(config_, find_model("voxtral"), {}); });
  EXPECT_THAT(what, HasSubstr("accept_license: cc-by-nc-4.0"));
  EXPECT_FALSE(fs::exists(config_.run / "checkpoints"));
}

TEST_F(StageTest, ATrainedVoiceIsExportedForUpstream) {
  prepare();
  ttsft::test::use_upstreams_adapter(config_, fixture().path("expected"), folder_ / "init");
  config_.train.replay.clear();
  config_.train.steps = 1;
  run_train(config_, find_model("voxtral"), {});
  config_.data.speaker = "mine";
  ExportOptions options;
  options.out = folder_ / "out";
  options.checkpoints = {"last"};
  run_export(config_, find_model("voxtral"), options);
  EXPECT_TRUE(fs::exists(folder_ / "out/voice_embedding/mine.pt"));
  EXPECT_EQ(read_config(folder_ / "out").voices.at("mine"), 2);
  config_.data.speaker = "Mine";
  options.out = folder_ / "again";
  EXPECT_THROW(run_export(config_, find_model("voxtral"), options), UsageError);
  EXPECT_FALSE(fs::exists(folder_ / "again"));
}

}  // namespace
}  // namespace ttsft::voxtral::test
