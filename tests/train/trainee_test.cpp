#include "src/train/trainee.h"

#include "train_support.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

struct TraineeTest : ::testing::Test, test::ToyRun {
  Trainee make(const std::filesystem::path& resume = {}) {
    const ModelContext context{config, torch::kCPU, torch::kFloat32};
    stage = adapter.make_stage(context, {"base", config.checkpoint, CheckpointKind::kBase, -1});
    return make_trainee(config, *stage, torch::kCPU, resume);
  }
  std::unique_ptr<Stage> stage;
};

TEST_F(TraineeTest, LoraTrainsItsSitesAndFreezesTheRest) {
  const Trainee trainee = make();
  EXPECT_EQ(trainee.sites, (std::vector<std::string>{"layer.q_proj", "layer.up_proj"}));
  EXPECT_EQ(trainee.weights.count(), 2 * 2 * (8 + 8));
  for (const auto& item : stage->module().named_parameters()) {
    EXPECT_FALSE(item.value().requires_grad()) << item.key();
  }
  for (const auto& [name, tensor] : trainee.lora->parameters()) {
    EXPECT_TRUE(tensor.requires_grad()) << name;
  }
  const PeftConfig& peft = trainee.lora->config();
  EXPECT_EQ(peft.r, 2);
  EXPECT_EQ(peft.target_modules.endings, (std::vector<std::string>{"q_proj", "up_proj"}));
  EXPECT_EQ(peft.base_model_name_or_path, config.checkpoint.string());
}

TEST_F(TraineeTest, RolesAndUnknownTargets) {
  config.lora.targets.endings = {"mlp"};
  EXPECT_EQ(make().sites, std::vector<std::string>{"layer.up_proj"});
  config.lora.targets.endings = {"nope"};
  EXPECT_THROW(make(), UsageError);
}

TEST_F(TraineeTest, FullTrainsWhatTheStageNames) {
  config.train.method = "full";
  const Trainee trainee = make();
  EXPECT_FALSE(trainee.lora);
  for (const auto& item : stage->module().named_parameters()) {
    EXPECT_EQ(item.value().requires_grad(), item.key() != "frozen.weight") << item.key();
  }
  EXPECT_EQ(trainee.model_values - trainee.weights.count(), 64);
}

TEST_F(TraineeTest, InitFromGivesWeightsAndTheRunFileGivesDropout) {
  const auto folder_of = folder / "adapter";
  std::filesystem::create_directories(folder_of);
  {
    Trainee trainee = make();
    torch::NoGradGuard no_grad;
    for (auto [name, tensor] : trainee.lora->parameters()) tensor.fill_(0.25);
    trainee.save(*stage, folder_of);
  }
  EXPECT_TRUE(std::filesystem::exists(folder_of / "toy.json"));
  config.lora.init_from = folder_of;
  config.lora.dropout = 0.5;
  const Trainee trainee = make();
  EXPECT_EQ(trainee.lora->parameters()[0].second[0][0].item<float>(), 0.25F);
  EXPECT_EQ(trainee.lora->config().lora_dropout, 0.5);
  EXPECT_EQ(trainee.lora->sites()[0].linear->lora()->dropout, 0.5);

  config.lora.rank = 16;  // a default: the adapter decides
  EXPECT_EQ(make().lora->config().r, 2);
  config.given = {"lora.rank"};
  const std::string message = message_of<UsageError>([&] { make(); });
  EXPECT_NE(message.find("lora.rank is 16, the adapter has 2"), std::string::npos) << message;
  config.lora.init_from = folder / "base";
  EXPECT_THROW(make(), UsageError);
}

TEST_F(TraineeTest, TheTaskOfAnAdapterIsTheModelsToName) {
  EXPECT_EQ(make().lora->config().task_type, "CAUSAL_LM");
  const ModelContext context{config, torch::kCPU, torch::kFloat32};
  stage = adapter.make_stage(context, {"base", config.checkpoint, CheckpointKind::kBase, -1});
  const Trainee own = make_trainee(config, *stage, torch::kCPU, {}, "");
  EXPECT_TRUE(peft_config_json(own.lora->config())["task_type"].is_null());

  own.save(*stage, folder.path());
  const auto written = nlohmann::json::parse(read_text(folder / "adapter_config.json"));
  ASSERT_TRUE(written.contains("task_type"));
  EXPECT_TRUE(written["task_type"].is_null());
  // A run that goes on from it keeps it so.
  EXPECT_EQ(make(folder.path()).lora->config().task_type, "");
}

}  // namespace
}  // namespace ttsft
