// Eight optimizer steps against upstream's modules under PyTorch's AdamW: losses, gradient norms,
// trained weights.
#include "ttsft/train/train.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/models/qwen3_tts/lm_fixture.h"
#include "tests/support/upstream_training.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/checkpoint.h"

namespace ttsft::qwen3_tts::test {
namespace {

using ttsft::test::expect_steps;
using ttsft::test::train_steps;
using ttsft::test::use_upstreams_adapter;
using ttsft::test::use_upstreams_settings;
using ttsft::test::written_tensor;

// A prepared set of upstream's rows and a run file with the fixture's settings.
class UpstreamTraining : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    config_ = default_run("qwen3-tts");
    config_.checkpoint = fixture_path("checkpoint");
    config_.run = folder_ / "run";
    use_upstreams_settings(config_, GetParam(), 3);
    config_.data.prepared = folder_ / "prepared";
    config_.data.speaker = "speaker_test";
    if (GetParam() == "lora")
      use_upstreams_adapter(config_, fixture_path("expected"), folder_ / "init");
    write_prepared_set({0, 1, 2});
    expected_ = nlohmann::json::parse(
        read_text(fixture_path("expected/train_" + GetParam() + ".json")))["steps"];
  }

  void write_prepared_set(const std::vector<size_t>& order) {
    std::vector<PreparedRow> rows;
    std::ifstream in(fixture_path("expected/prep_out.jsonl"));
    for (std::string line; std::getline(in, line);) {
      PreparedRow row;
      row.row = nlohmann::ordered_json::parse(line);
      row.id = std::filesystem::path(row.row["audio"].get<std::string>()).stem().string();
      row.key = row.id;
      rows.push_back(row);
    }
    PreparedWriter writer(config_.data.prepared, "qwen3-tts");
    std::vector<std::string> ids;
    for (size_t i : order) {
      writer.add(rows[i]);
      ids.push_back(rows[i].id);
    }
    writer.finish(ids, {}, {}, {{"validation", {{"share", 0.0}}}});
    save_speakers(config_.data.prepared / "speakers.safetensors",
                  {{"speaker_test", expected_tensor("prep", "speaker_embedding.ref")}});
  }

  void expect_losses(const std::vector<nlohmann::json>& steps, double relative) {
    expect_steps(steps, "loss", expected_, "loss", relative);
  }

  TemporaryFolder folder_;
  RunConfig config_;
  nlohmann::json expected_;
};

TEST_P(UpstreamTraining, LossesNormsAndWeightsAreUpstreams) {
  const auto steps = train_steps(config_);
  expect_losses(steps, 1e-5);
  expect_steps(steps, "grad_norm", expected_, "grad_norm_before_clip", 1e-3);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(steps[i]["loss_terms"]["talker"].get<double>(),
                expected_[i]["talker_loss"].get<double>(), 1e-4);
    EXPECT_NEAR(steps[i]["loss_terms"]["sub_talker"].get<double>(),
                expected_[i]["sub_talker_loss"].get<double>(), 1e-4);
  }
  const std::filesystem::path checkpoint = resolve_checkpoint(config_, "last").folder;
  const bool lora = GetParam() == "lora";
  const SafetensorsReader written = SafetensorsReader::open(
      checkpoint / (lora ? "adapter_model.safetensors" : "model.safetensors"));
  const auto final_weights = open_fixture(lora ? "expected/adapter_final.safetensors"
                                               : "expected/train_full_final.safetensors");
  for (const TensorView& view : final_weights->tensors()) {
    expect_close(written_tensor(written, view), copy_tensor(view), 1e-4, view.name);
  }
}

TEST_P(UpstreamTraining, AccumulatedOneByOneInAnotherOrderTheLossesAreTheSame) {
  std::filesystem::remove_all(config_.data.prepared);
  write_prepared_set({2, 0, 1});
  config_.train.batch_utterances = 1;
  config_.train.accumulate = 3;
  expect_losses(train_steps(config_), 1e-5);
}

TEST_P(UpstreamTraining, BfloatStaysWithinTwoPercent) {
  config_.precision = "bf16";
  expect_losses(train_steps(config_), 0.02);
}

INSTANTIATE_TEST_SUITE_P(Methods, UpstreamTraining, testing::Values("lora", "full"));

}  // namespace
}  // namespace ttsft::qwen3_tts::test
