#include "ttsft/model/merge_adapter.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/toy_stage.h"
#include "ttsft/core/error.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/nn/lora.h"

namespace ttsft {
namespace {

struct MergeAdapter : ::testing::Test {
  MergeAdapter() {
    test::write_toy_checkpoint(folder / "base", 1);
    config.checkpoint = folder / "base";
    config.device = "cpu";
    config.precision = "fp32";
    auto stage = make();
    PeftConfig peft;
    peft.r = 2;
    peft.lora_alpha = 6;
    peft.target_modules.endings = {"q_proj"};
    LoraSet set = LoraSet::create(select_sites(adapter_sites(stage->module()), peft.target_modules),
                                  peft, torch::kCPU, 1);
    for (auto& [name, tensor] : set.parameters()) {
      tensor.add_(0.3);
      (name.find("lora_A") != std::string::npos ? a : b) = tensor.detach().clone();
    }
    std::filesystem::create_directories(folder / "adapter");
    save_adapter(set, folder / "adapter");
  }
  std::unique_ptr<Stage> make() { return adapter.make_stage(make_context(config), base); }

  TemporaryFolder folder;
  RunConfig config;
  test::ToyAdapter adapter;
  CheckpointRef base{"base", folder / "base", CheckpointKind::kBase, -1};
  CheckpointRef lora{"lora", folder / "adapter", CheckpointKind::kAdapter, -1};
  torch::Tensor a, b;
};

TEST_F(MergeAdapter, TheBaseLiesBelowAnAdapter) {
  EXPECT_EQ(base_folder(config, lora), config.checkpoint);
  EXPECT_EQ(base_folder(config, {"full", "elsewhere", CheckpointKind::kFull, 3}), "elsewhere");
}

TEST_F(MergeAdapter, AddsTheScaledProduct) {
  const auto before = make(), after = make();
  const auto weights = merged_weights(after->module(), lora, 0.5, torch::kCPU);
  ASSERT_EQ(weights.size(), 1u);
  const std::string name = weights.begin()->first;
  EXPECT_TRUE(name.ends_with("q_proj.weight")) << name;
  const torch::Tensor want =
      before->module().named_parameters()[name] + 0.5 * 6.0 / 2.0 * torch::mm(b, a);
  EXPECT_TRUE(torch::allclose(weights.begin()->second(), want, 1e-5, 1e-6));
  for (const auto& item : before->module().named_parameters()) {  // the module's own stay
    EXPECT_TRUE(torch::equal(after->module().named_parameters()[item.key()], item.value()))
        << item.key();
  }
}

TEST_F(MergeAdapter, NamesWhatChanged) {
  const auto before = make(), after = make();
  EXPECT_EQ(merge_adapter(after->module(), lora, 1.0, torch::kCPU),
            std::vector<std::string>{"layer.q_proj.weight"});
  const auto find = [](Stage& stage) {
    return stage.module().named_parameters()["layer.q_proj.weight"];
  };
  EXPECT_TRUE(torch::allclose(find(*after), find(*before) + 3 * torch::mm(b, a), 1e-5, 1e-6));
  for (const AdapterSite& site : adapter_sites(after->module())) {
    EXPECT_FALSE(site.linear->lora().has_value()) << site.path << " has an adapter beside it";
  }
}

TEST_F(MergeAdapter, MergesHalfPrecisionInFloat32) {
  config.precision = "bf16";
  const auto stage = make();
  const auto weights = merged_weights(stage->module(), lora, 0.5, torch::kCPU);
  const torch::Tensor base_weight =
      stage->module().named_parameters()["layer.q_proj.weight"].to(torch::kFloat32);
  const torch::Tensor value = weights.at("layer.q_proj.weight")();
  EXPECT_EQ(value.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(torch::allclose(value, base_weight + 1.5 * torch::mm(b, a), 1e-6, 1e-7));
}

TEST_F(MergeAdapter, MastersTakeTheParametersPlace) {
  const auto stage = make();
  const torch::Tensor master = torch::ones({8, 8});
  const auto weights = full_weights(stage->module(), {{"layer.q_proj.weight", master}});
  EXPECT_EQ(weights.size(), stage->module().named_parameters().size());
  EXPECT_TRUE(torch::equal(weights.at("layer.q_proj.weight")(), master));
  EXPECT_TRUE(
      torch::equal(weights.at("head.weight")(), stage->module().named_parameters()["head.weight"]));
}

TEST_F(MergeAdapter, ACompleteCheckpointStaysAsItIs) {
  for (const CheckpointKind kind : {CheckpointKind::kBase, CheckpointKind::kFull}) {
    const auto before = make(), stage = make();
    const CheckpointRef complete{"complete", folder / "adapter", kind, -1};
    EXPECT_TRUE(merge_adapter(stage->module(), complete, 1.0, torch::kCPU).empty());
    EXPECT_TRUE(merged_weights(stage->module(), complete, 1.0, torch::kCPU).empty());
    for (const auto& item : before->module().named_parameters()) {
      EXPECT_TRUE(torch::equal(stage->module().named_parameters()[item.key()], item.value()))
          << item.key();
    }
  }
}

TEST_F(MergeAdapter, AnAdapterOfAnotherModelIsRefused) {
  struct Other : torch::nn::Module {
    Other() { register_module("other", Linear(3, 3)); }
  } other;
  EXPECT_THROW(merge_adapter(other, lora, 1.0, torch::kCPU), DataError);
}

}  // namespace
}  // namespace ttsft
