// Training against upstream's steps, and what it leaves behind.
#include "models/fish_s2_pro/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/fish_s2_pro/options.h"
#include "models/fish_s2_pro/weights.h"
#include "tests/models/fish_s2_pro/fish_fixture.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/upstream_training.h"
#include "ttsft/core/error.h"
#include "ttsft/eval/eval.h"
#include "ttsft/export/export.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/checkpoint.h"
#include "ttsft/prep/prep.h"

namespace ttsft::fish_s2_pro::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ttsft::test::expect_steps;
using ttsft::test::train_steps;

class StageTest : public testing::Test {
 protected:
  StageTest() : config_(default_run("fish-s2-pro")) {
    config_.checkpoint = fixture().path("checkpoint");
    config_.run = folder_ / "run";
    config_.accept_license = "fish-audio-research";
    config_.data.source = fixture().path("audio/metadata.csv");
    config_.data.prepared = folder_ / "prepared";
    ttsft::test::use_upstreams_settings(config_, "lora", 3);
    config_.train.optimizer.betas = {0.9, 0.999};
    config_.train.optimizer.weight_decay = 0.01;
    run_prep(config_, find_model("fish-s2-pro"), {});
  }
  Options& options() { return static_cast<Options&>(*config_.model_options); }
  void start_from(const fs::path& expected, int64_t rank, double alpha) {
    ttsft::test::use_upstreams_adapter(config_, expected, folder_ / "init");
    config_.lora.rank = rank;
    config_.lora.alpha = alpha;
    config_.lora.dropout = 0;
  }
  fs::path last() const { return resolve_checkpoint(config_, "last").folder; }
  double loss_of(const std::string& checkpoint) {
    config_.eval.checkpoints.names = {checkpoint};
    config_.eval.split = "train";
    return run_eval(config_, find_model("fish-s2-pro"), {})["checkpoints"].back()["loss"];
  }
  static void expect_tensors(const TensorFile& written, const TensorFile& wanted,
                             double tolerance) {
    ASSERT_EQ(written.tensors().size(), wanted.tensors().size());
    for (const TensorView& view : wanted.tensors())
      expect_close(copy_tensor(written.at(view.name)), copy_tensor(view), tolerance, view.name);
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(StageTest, LoraIsUpstreamsInBothForms) {
  start_from(fixture().path("expected"), 3, 6);
  options().write_ckpt = true;
  const auto steps = train_steps(config_);
  const auto& wanted = expected_json("train_lora");
  expect_steps(steps, "loss", wanted["steps"], "loss", 5e-6);
  expect_steps(steps, "grad_norm", wanted["steps"], "grad_norm", 1e-4);
  const auto peft = open_tensor_file(last() / "adapter_model.safetensors");
  expect_tensors(*peft, *fixture().file("expected/adapter_final.safetensors"), 5e-5);
  expect_tensors(*open_tensor_file(last() / "lora.ckpt"),
                 *open_tensor_file(fixture().path("expected/adapter_final.ckpt")), 5e-5);
  EXPECT_THAT(read_text(last() / "NOTICE"), HasSubstr("Built with Fish Audio"));
  EXPECT_NEAR(loss_of("last"), wanted["loss_after_step8"].get<double>(), 1e-4);
  // Either file is the adapter; its alpha must be written.
  const std::string ckpt = (last() / "lora.ckpt").string();
  config_.given.insert("lora.alpha");
  EXPECT_NEAR(loss_of(ckpt), wanted["loss_after_step8"].get<double>(), 1e-4);
  config_.given.erase("lora.alpha");
  EXPECT_THAT(message_of<UsageError>([&] { loss_of(ckpt); }), HasSubstr("lora.alpha"));
}

TEST_F(StageTest, EmbeddingsAreAdaptedAsLoralibDoes) {
  const fs::path expected = fixture().path("expected/adapter_upstream_targets");
  const auto& wanted = expected_json("train_lora_upstream_targets");
  start_from(expected, wanted["lora"]["r"], wanted["lora"]["alpha"]);
  options().tied_head = "base";
  const auto steps = train_steps(config_);
  expect_steps(steps, "loss", wanted["steps"], "loss", 5e-6);
  expect_steps(steps, "grad_norm", wanted["steps"], "grad_norm", 1e-4);
  expect_tensors(*open_tensor_file(last() / "adapter_model.safetensors"),
                 *open_tensor_file(expected / "adapter_final.safetensors"), 5e-5);
  EXPECT_NEAR(loss_of("last"), wanted["loss_after_step8"].get<double>(), 1e-4);
  options().tied_head = "adapted";
  EXPECT_NEAR(loss_of("last"), wanted["loss_after_step8_merged"].get<double>(), 1e-4);
}

TEST_F(StageTest, FullTrainingIsUpstreamsInTheReleasesFiles) {
  config_.train.method = "full";
  const auto& wanted = expected_json("train_full");
  const auto steps = train_steps(config_);
  expect_steps(steps, "loss", wanted["steps"], "loss", 5e-6);
  expect_steps(steps, "grad_norm", wanted["steps"], "grad_norm", 1e-4);
  const SafetensorsReader written = SafetensorsReader::open(last()),
                          base = SafetensorsReader::open(config_.checkpoint);
  ASSERT_EQ(written.tensors().size(), base.tensors().size());
  for (const TensorView& view : base.tensors()) {
    EXPECT_EQ(written.at(view.name).dtype, view.dtype) << view.name;
    EXPECT_EQ(written.at(view.name).shape, view.shape) << view.name;
  }
  const auto wanted_tensors = fixture().file("expected/train_full_final.safetensors");
  for (const TensorView& view : wanted_tensors->tensors())
    expect_close(copy_tensor(written.at(view.name)).to(torch::kFloat32),
                 copy_tensor(view).to(torch::kBFloat16).to(torch::kFloat32), 2e-2, view.name);
  EXPECT_EQ(read_text(last() / "model.safetensors.index.json"),
            read_text(config_.checkpoint / "model.safetensors.index.json"));
}

TEST_F(StageTest, EveryAdapterLearns) {
  config_.train.steps = 2;
  config_.lora.targets.endings = {
      "wqkv",           "wo", "w1", "w2", "w3", "fast_output", "embeddings", "codebook_embeddings",
      "fast_embeddings"};
  config_.train.activation_checkpointing = "true";
  run_train(config_, find_model("fish-s2-pro"), {});
  const auto adapter = open_tensor_file(last() / "adapter_model.safetensors");
  int64_t pairs = 0;
  for (const TensorView& view : adapter->tensors()) {
    // What begins at zero: B of a linear, A of an embedding.
    const bool embedding = view.name.find("lora_embedding_") != std::string::npos;
    if (view.name.find(embedding ? "_A" : "lora_B") == std::string::npos) continue;
    ++pairs;
    EXPECT_GT(copy_tensor(view).abs().max().item<double>(), 0) << view.name;
  }
  EXPECT_EQ(pairs, 3 * 5 + 2 * 5 + 1 + 3);
}

TEST_F(StageTest, WithoutTheLicenceNothingIsTrained) {
  config_.accept_license.clear();
  EXPECT_THAT(message_of<UsageError>([&] { run_train(config_, find_model("fish-s2-pro"), {}); }),
              HasSubstr("accept_license: fish-audio-research"));
  EXPECT_FALSE(fs::exists(config_.run));
}

TEST_F(StageTest, AnExportHoldsMergedWeightsInTheReleasesShards) {
  start_from(fixture().path("expected"), 3, 6);
  fs::copy_file(fixture().path("expected/adapter_final.safetensors"),
                folder_ / "init" / "adapter_model.safetensors",
                fs::copy_options::overwrite_existing);
  ExportOptions out;
  out.out = folder_ / "out";
  out.checkpoints = {(folder_ / "init").string()};
  run_export(config_, find_model("fish-s2-pro"), out);
  const SafetensorsReader merged = SafetensorsReader::open(out.out);
  const auto sample = fixture().file("expected/merged_sample.safetensors");
  for (const TensorView& view : sample->tensors()) {
    const torch::Tensor rounded = copy_tensor(view).to(torch::kBFloat16);
    const torch::Tensor ours = copy_tensor(merged.at(view.name));
    EXPECT_EQ(ours.scalar_type(), torch::kBFloat16);
    // A value at the border between two roundings may fall on either side.
    EXPECT_LT((ours != rounded).to(torch::kFloat32).mean().item<double>(), 1e-3) << view.name;
  }
  EXPECT_THAT(read_text(out.out / "NOTICE"), HasSubstr("39 AI, INC."));
  EXPECT_EQ(read_text(out.out / "model.safetensors.index.json"),
            read_text(config_.checkpoint / "model.safetensors.index.json"));
}

// What upstream's merge tool writes: short names in one file, a flat config.
TEST_F(StageTest, UpstreamsMergedFormIsRead) {
  const fs::path flat = folder_ / "flat";
  fs::create_directories(flat);
  for (const char* file :
       {"codec.pth", "tokenizer.json", "tokenizer_config.json", "ttsft_dims.json"})
    fs::copy_file(config_.checkpoint / file, flat / file);
  const auto weights = open_weights(config_.checkpoint);
  write_weights(flat / "model.pth", as_they_are(weights->tensors()), {});
  const auto nested = nlohmann::json::parse(read_text(config_.checkpoint / "config.json"));
  const auto &text = nested["text_config"], &audio = nested["audio_decoder_config"];
  nlohmann::json config = text;
  config["model_type"] = "dual_ar";
  for (const char* key :
       {"dim", "n_head", "n_local_heads", "head_dim", "intermediate_size", "attention_qk_norm"})
    config[std::string("fast_") + key] = audio[key];
  config["n_fast_layer"] = audio["n_layer"];
  config["codebook_size"] = audio["vocab_size"];
  config["num_codebooks"] = audio["num_codebooks"];
  config["scale_codebook_embeddings"] = config["norm_fastlayer_input"] = true;
  write_text_atomic(flat / "config.json", config.dump());
  const double released = loss_of("base");
  config_.checkpoint = flat;
  EXPECT_EQ(loss_of("base"), released);
  config["norm_fastlayer_input"] = false;
  write_text_atomic(flat / "config.json", config.dump());
  EXPECT_THROW(loss_of("base"), DataError);
}

}  // namespace
}  // namespace ttsft::fish_s2_pro::test
