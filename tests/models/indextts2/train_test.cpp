// Eight optimizer steps against upstream's modules under PyTorch's AdamW: losses, gradient norms,
// trained weights.
#include "ttsft/train/train.h"

#include <gtest/gtest.h>

#include "tests/models/indextts2/gpt_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/upstream_training.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/prep/prep.h"

namespace ttsft::indextts2::test {
namespace {

using ttsft::test::expect_steps;
using ttsft::test::train_steps;
using ttsft::test::use_upstreams_adapter;
using ttsft::test::use_upstreams_settings;

// Upstream's pairs and a run file with the fixture's settings.
class UpstreamTraining : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    config_ = default_run("indextts2");
    config_.checkpoint = fixture().path("checkpoint");
    config_.run = folder_ / "run";
    use_upstreams_settings(config_, GetParam(), 4);
    config_.data.source = fixture().path("expected/prep/gpt_pairs.jsonl");
    config_.data.prepared = folder_ / "prepared";
    config_.train.dropout = 0;
    if (GetParam() == "lora")
      use_upstreams_adapter(config_, fixture().path("expected"), folder_ / "init");
    run_prep(config_, find_model("indextts2"), {});
    expected_ = expected_json("train_" + GetParam())["exact"];
  }

  void expect_losses(const std::vector<nlohmann::json>& steps) {
    expect_steps(steps, "loss", expected_, "loss", 1e-4);
  }

  TemporaryFolder folder_;
  RunConfig config_;
  nlohmann::json expected_;
};

// AdamW divides by tiny second moments where a gradient is nearly zero: one value in a thousand may
// differ by up to 2e-3.
void expect_weights(const torch::Tensor& actual, const torch::Tensor& wanted,
                    const std::string& name) {
  const torch::Tensor far = ((actual - wanted).abs() > 2e-4).to(torch::kFloat64);
  EXPECT_LE(far.mean().item<double>(), 1e-3) << name;
  expect_close(actual, wanted, 2e-3, name);
}

TEST_P(UpstreamTraining, LossesNormsAndWeightsAreUpstreams) {
  const auto steps = train_steps(config_);
  expect_losses(steps);
  expect_steps(steps, "grad_norm", expected_, "grad_norm", 1e-3);
  for (size_t i = 0; i < 8; ++i) {
    for (const char* term : {"text", "mel"})
      EXPECT_NEAR(steps[i]["loss_terms"][term].get<double>(),
                  expected_[i][std::string(term) + "_loss"].get<double>(), 5e-4);
  }
  const std::filesystem::path checkpoint = resolve_checkpoint(config_, "last").folder;
  if (GetParam() == "lora") {
    const auto written = open_tensor_file(checkpoint / "adapter_model.safetensors");
    const auto wanted = fixture().file("expected/adapter_final.safetensors");
    ASSERT_EQ(written->tensors().size(), wanted->tensors().size());
    for (const TensorView& view : wanted->tensors())
      expect_weights(copy_tensor(written->at(view.name)), copy_tensor(view), view.name);
    const auto config = nlohmann::json::parse(read_text(checkpoint / "adapter_config.json"));
    EXPECT_EQ(config["fan_in_fan_out"], true);
    EXPECT_TRUE(config["task_type"].is_null());
    return;
  }
  const auto written = TorchFile::open(checkpoint / "gpt.pth");
  for (const TensorView& view : fixture().file("expected/train_full_final.safetensors")->tensors())
    expect_weights(copy_tensor(written->at(view.name)), copy_tensor(view), view.name);
}

TEST_P(UpstreamTraining, AccumulatedOneByOneTheLossesAreTheSame) {
  config_.train.batch_utterances = 1;
  config_.train.accumulate = 4;
  expect_losses(train_steps(config_));
}

TEST_P(UpstreamTraining, RecomputedBlocksLearnTheSame) {
  config_.train.activation_checkpointing = "true";
  expect_losses(train_steps(config_));
}

INSTANTIATE_TEST_SUITE_P(Methods, UpstreamTraining, testing::Values("lora", "full"));

using FullTraining = UpstreamTraining;
INSTANTIATE_TEST_SUITE_P(Full, FullTraining, testing::Values("full"));

TEST_P(FullTraining, WhatUpstreamDoesNotTrainStaysBitForBit) {
  train_steps(config_);
  const std::filesystem::path checkpoint = resolve_checkpoint(config_, "last").folder;
  const auto base = TorchFile::open(fixture().path("checkpoint/gpt.pth"));
  const auto written = TorchFile::open(checkpoint / "gpt.pth");
  const auto frozen =
      expected_json("train_full")["tensors_without_gradient"].get<std::vector<std::string>>();
  ASSERT_EQ(written->tensors().size(), base->tensors().size());
  // In the order in which upstream saved them.
  const TorchValue::Dict &before = *base->root().dict(), &after = *written->root().dict();
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].first, before[i].first);
    const TensorView &a = *before[i].second.tensor(), &b = *after[i].second.tensor();
    EXPECT_EQ(a.dtype, b.dtype);
    const bool untrained = std::any_of(frozen.begin(), frozen.end(), [&](const std::string& name) {
      return before[i].first.starts_with(name + ".");
    });
    EXPECT_EQ(torch::equal(copy_tensor(a), copy_tensor(b)), untrained) << before[i].first;
  }
  for (const char* name : {"config.yaml", "bpe.model", "s2mel.pth", "hf_cache/bigvgan/config.json"})
    EXPECT_EQ(read_text(checkpoint / name), read_text(fixture().path("checkpoint") / name)) << name;
}

}  // namespace
}  // namespace ttsft::indextts2::test
