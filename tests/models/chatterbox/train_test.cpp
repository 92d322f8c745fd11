// Eight optimizer steps against upstream's modules under PyTorch's AdamW, and a small pilot that
// has to learn.
#include "ttsft/train/train.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/models/chatterbox/chatterbox_fixture.h"
#include "tests/support/upstream_training.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/model/fixture.h"

namespace ttsft::chatterbox::test {
namespace {

using ttsft::test::expect_steps;
using ttsft::test::steps_of;
using ttsft::test::train_steps;
using ttsft::test::use_upstreams_adapter;
using ttsft::test::use_upstreams_settings;
using ttsft::test::written_tensor;

class UpstreamTraining : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    use_upstreams_settings(run_.config, GetParam(), 3);
    if (GetParam() == "lora")
      use_upstreams_adapter(run_.config, fixture().path("expected"), run_.folder / "init");
    expected_ = read_json_object(fixture().path("expected/train_" + GetParam() + ".json"))["steps"];
  }

  void expect_losses(const std::vector<nlohmann::json>& steps, double relative) {
    expect_steps(steps, "loss", expected_, "loss", relative);
  }

  PreparedRun run_;
  nlohmann::json expected_;
};

TEST_P(UpstreamTraining, LossesNormsAndWeightsAreUpstreams) {
  const auto steps = train_steps(run_.config);
  expect_losses(steps, 1e-4);
  expect_steps(steps, "grad_norm", expected_, "grad_norm", 1e-3);
  for (size_t i = 0; i < 8; ++i) {
    for (const char* term : {"text", "speech"})
      EXPECT_NEAR(steps[i]["loss_terms"][term].get<double>(),
                  expected_[i]["loss_" + std::string(term)].get<double>(), 1e-3);
  }
  const std::filesystem::path checkpoint = resolve_checkpoint(run_.config, "last").folder;
  const bool lora = GetParam() == "lora";
  const SafetensorsReader written = SafetensorsReader::open(
      checkpoint / (lora ? "adapter_model.safetensors" : "t3_cfg.safetensors"));
  const auto final_weights = fixture().file(lora ? "expected/adapter_final.safetensors"
                                                 : "expected/train_full_final.safetensors");
  for (const TensorView& view : final_weights->tensors()) {
    expect_close(written_tensor(written, view), copy_tensor(view), 2e-3, view.name);
  }
}

TEST_P(UpstreamTraining, AccumulatedOneByOneTheLossesAreTheSame) {
  run_.config.train.batch_utterances = 1;
  run_.config.train.accumulate = 3;
  expect_losses(train_steps(run_.config), 1e-4);
}

TEST_P(UpstreamTraining, BfloatStaysWithinTwoPercent) {
  run_.config.precision = "bf16";
  expect_losses(train_steps(run_.config), 0.02);
}

INSTANTIATE_TEST_SUITE_P(Methods, UpstreamTraining, testing::Values("lora", "full"));

TEST(Training, FullCheckpointHasTheBasesTensorsAndTheUnreadTableUntouched) {
  PreparedRun run;
  run.config.train.method = "full";
  run.config.train.steps = 1;
  run.config.train.batch_utterances = 3;
  run.config.train.batch_tokens.reset();
  run_train(run.config, find_model("chatterbox"), {});
  const auto folder = resolve_checkpoint(run.config, "last").folder;
  const auto written = open_weights(folder, "t3_cfg");
  const auto base = open_weights(run.config.checkpoint, "t3_cfg");
  ASSERT_EQ(written->tensors().size(), base->tensors().size());
  for (const TensorView& view : base->tensors()) {
    const TensorView& other = written->at(view.name);
    EXPECT_EQ(other.shape, view.shape) << view.name;
    EXPECT_EQ(other.dtype, DType::kF32) << view.name;
  }
  const TensorView &before = base->at("tfmr.embed_tokens.weight"),
                   &after = written->at("tfmr.embed_tokens.weight");
  EXPECT_TRUE(std::equal(before.bytes.begin(), before.bytes.end(), after.bytes.begin()));
  EXPECT_NO_THROW(read_config(folder)) << "a checkpoint is a release of its own";
  EXPECT_TRUE(std::filesystem::exists(folder / "conds.pt"));
}

TEST(Training, HiddenTextsAreTheSameAfterResuming) {
  const auto losses = [](int64_t stop_at) {
    PreparedRun run;
    run.options().text_drop = 0.4;
    run.config.train.steps = 6;
    run.config.train.batch_utterances = 1;
    run.config.train.batch_tokens.reset();
    run.config.train.optimizer.learning_rate = 1e-3;
    run.config.train.checkpoint_every = stop_at;
    run_train(run.config, find_model("chatterbox"), {});
    std::vector<double> all;
    for (const auto& step : steps_of(run.config)) all.push_back(step["loss"]);
    return all;
  };
  EXPECT_EQ(losses(0), losses(2)) << "the choice hangs on the seed and the batch alone";
}

// Sixty-four clips of 1 to 2 s, on which a community trainer prints loss 0.0 for ever: every label
// counts, and the loss of the speech falls.
TEST(Pilot, SixtyFourShortClipsLearn) {
  const TemporaryFolder folder;
  const ModelAdapter& adapter = find_model("chatterbox");
  write_fixture(ttsft::fixture_files(adapter.info().folder, FixtureSize::kTiny),
                folder / "checkpoint", 3);
  RunConfig config = default_run("chatterbox");
  config.checkpoint = folder / "checkpoint";
  config.run = folder / "run";
  config.device = "cpu";
  config.precision = "fp32";
  config.data.prepared = folder / "prepared";
  config.data.speaker = "reader";
  config.data.validation.share = 0;
  const T3Config t3 = read_config(config.checkpoint).t3;
  torch::manual_seed(1);
  std::vector<std::string> ids;
  int64_t labels = 0;
  std::optional<PreparedWriter> writer(std::in_place, config.data.prepared, "chatterbox");
  for (int64_t i = 0; i < 64; ++i) {
    const std::string id = "clip" + std::to_string(i);
    const int64_t codes = 25 + i % 26;  // 1 to 2 s
    PreparedClip clip;
    // Speech that can be learned: each text begins one of eight melodies.
    clip.text_ids = torch::full({6 + i % 5}, 14 + i % 8, torch::kInt64);
    clip.speech_codes = (torch::arange(codes) * (3 + i % 8) + 100 * (i % 8)) % 400;
    clip.speaker_emb = torch::rand({t3.speaker_embed_size});
    clip.prompt_tokens = torch::randint(0, 400, {75}, torch::kInt64);
    clip.cond_prompt_speech_tokens = clip.speech_codes.slice(0, 0, 20).contiguous();
    write_clip(config.data.prepared / clip_file(id), clip);
    writer->add({id, id, 1.5, {{"id", id}, {"speaker", "reader"}}, {}});
    ids.push_back(id);
    labels += codes + 1;
  }
  write_speakers(config.data.prepared / "speakers.json", {{"reader", {ids.begin(), ids.end()}}});
  writer->finish(ids, {}, {}, {{"validation", {{"share", 0.0}}}});
  writer.reset();  // the set is free to be trained on

  config.train.method = "full";
  config.train.epochs = 4;
  config.train.steps.reset();
  config.train.batch_utterances = 4;
  config.train.batch_tokens.reset();
  config.train.accumulate = 2;
  config.train.optimizer.learning_rate = 2e-3;
  config.train.checkpoint_every = 0;
  config.train.validate_every = 0;
  const auto result = run_train(config, adapter, {});
  const auto steps = steps_of(config);
  ASSERT_EQ(steps.size(), 32u) << "64 clips in batches of 4, two to a step, four times";
  EXPECT_EQ(result["plan"]["steps"], 32);
  int64_t counted = 0;
  for (size_t i = 0; i < 8; ++i) counted += steps[i]["tokens"].get<int64_t>();
  int64_t texts = 0;
  for (int64_t i = 0; i < 64; ++i) texts += 6 + i % 5 + 1;
  EXPECT_EQ(counted, labels + texts) << "an epoch sees every label once";
  for (const auto& step : steps) EXPECT_GT(step["loss_terms"]["speech"].get<double>(), 0.1);
  EXPECT_LT(steps.back()["loss_terms"]["speech"].get<double>(),
            0.7 * steps.front()["loss_terms"]["speech"].get<double>());
}

TEST(Pilot, APlanOfZeroStepsIsRefused) {
  PreparedRun run;
  run.config.train.steps = 0;
  run.config.train.epochs.reset();
  EXPECT_THROW(run_train(run.config, find_model("chatterbox"), {}), UsageError);
}

TEST(Pilot, WeightsThatAreNotNumbersStopTheRun) {
  PreparedRun run;
  const std::filesystem::path broken = run.folder / "broken";
  std::filesystem::create_directories(broken);
  for (const auto& entry : std::filesystem::directory_iterator(run.config.checkpoint))
    std::filesystem::copy_file(entry.path(), broken / entry.path().filename());
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  const auto file = open_weights(run.config.checkpoint, "t3_cfg");
  for (const TensorView& view : file->tensors()) {
    torch::Tensor value = copy_tensor(view);
    if (view.name == "speech_head.weight") value[0][0] = NAN;
    tensors.emplace_back(view.name, value);
  }
  save_tensors(broken / "t3_cfg.safetensors", tensors);
  run.config.checkpoint = broken;
  run.config.train.steps = 2;
  EXPECT_THROW(run_train(run.config, find_model("chatterbox"), {}), CheckError);
}

}  // namespace
}  // namespace ttsft::chatterbox::test
