// Eight optimizer steps against upstream's modules under PyTorch's AdamW: losses, gradient norms,
// trained weights.
#include "ttsft/train/train.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/models/qwen3_tts/lm_fixture.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/checkpoint.h"

namespace ttsft::qwen3_tts::test {
namespace {

// A prepared set of upstream's rows and a run file with the fixture's settings.
class UpstreamTraining : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    config_ = default_run("qwen3-tts");
    config_.checkpoint = fixture_path("checkpoint");
    config_.run = folder_ / "run";
    config_.device = "cpu";
    config_.precision = "fp32";
    config_.data.prepared = folder_ / "prepared";
    config_.data.speaker = "speaker_test";
    config_.data.validation.share = 0;
    config_.train.method = GetParam();
    config_.train.steps = 8;
    config_.train.batch_utterances = 3;
    config_.train.batch_tokens.reset();
    config_.train.shuffle = false;
    config_.train.optimizer.learning_rate = 1e-3;
    config_.train.checkpoint_every = 0;
    config_.train.validate_every = 0;
    if (GetParam() == "lora") use_upstreams_adapter();
    write_prepared_set({0, 1, 2});
    expected_ = nlohmann::json::parse(
        read_text(fixture_path("expected/train_" + GetParam() + ".json")))["steps"];
  }

  void use_upstreams_adapter() {
    const std::filesystem::path init = folder_ / "init";
    std::filesystem::create_directories(init);
    std::filesystem::copy_file(fixture_path("expected/adapter_init.safetensors"),
                               init / "adapter_model.safetensors");
    std::filesystem::copy_file(fixture_path("expected/adapter_config.json"),
                               init / "adapter_config.json");
    config_.lora.rank = 4;
    config_.lora.alpha = 8;
    config_.lora.init_from = init;
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

  std::vector<nlohmann::json> train() {
    run_train(config_, find_model("qwen3-tts"), {});
    std::vector<nlohmann::json> steps;
    std::ifstream in(config_.run / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      auto row = nlohmann::json::parse(line);
      if (row.contains("loss")) steps.push_back(row);
    }
    return steps;
  }

  void expect_losses(const std::vector<nlohmann::json>& steps, double relative) {
    ASSERT_EQ(steps.size(), 8u);
    for (size_t i = 0; i < 8; ++i) {
      const double loss = expected_[i]["loss"];
      EXPECT_NEAR(steps[i]["loss"].get<double>(), loss, relative * loss) << "step " << i + 1;
    }
  }

  TemporaryFolder folder_;
  RunConfig config_;
  nlohmann::json expected_;
};

TEST_P(UpstreamTraining, LossesNormsAndWeightsAreUpstreams) {
  const auto steps = train();
  expect_losses(steps, 1e-5);
  for (size_t i = 0; i < 8; ++i) {
    const double norm = expected_[i]["grad_norm_before_clip"];
    EXPECT_NEAR(steps[i]["grad_norm"].get<double>(), norm, 1e-3 * norm) << "step " << i + 1;
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
    const size_t bracket = view.name.find('[');  // "name[a:b]" holds only those rows
    torch::Tensor value = copy_tensor(written.at(view.name.substr(0, bracket)));
    if (bracket != std::string::npos) {
      const int64_t first = std::stol(view.name.substr(bracket + 1));
      value = value.narrow(0, first, view.shape[0]);
    }
    expect_close(value, copy_tensor(view), 1e-4, view.name);
  }
}

TEST_P(UpstreamTraining, AccumulatedOneByOneInAnotherOrderTheLossesAreTheSame) {
  std::filesystem::remove_all(config_.data.prepared);
  write_prepared_set({2, 0, 1});
  config_.train.batch_utterances = 1;
  config_.train.accumulate = 3;
  expect_losses(train(), 1e-5);
}

TEST_P(UpstreamTraining, BfloatStaysWithinTwoPercent) {
  config_.precision = "bf16";
  expect_losses(train(), 0.02);
}

INSTANTIATE_TEST_SUITE_P(Methods, UpstreamTraining, testing::Values("lora", "full"));

}  // namespace
}  // namespace ttsft::qwen3_tts::test
