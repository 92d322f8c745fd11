#include "ttsft/model/load_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/toy_stage.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

struct LoadStage : ::testing::Test {
  LoadStage() {
    test::write_toy_checkpoint(folder / "base", 1);
    test::write_toy_checkpoint(folder / "full", 2);
    config.checkpoint = folder / "base";
    config.device = "cpu";
    config.precision = "fp32";
    one = adapter_at("one", 1);
    two = adapter_at("two", 2);
  }

  CheckpointRef adapter_at(const std::string& name, uint64_t seed) {
    LoadedStage base = load_stage(make_context(config), adapter, reference("base"), 1.0);
    PeftConfig peft;
    peft.r = 2;
    peft.target_modules.endings = {"q_proj"};
    LoraSet set =
        LoraSet::create(select_sites(adapter_sites(base.stage->module()), peft.target_modules),
                        peft, torch::kCPU, seed);
    for (auto& [tensor_name, tensor] : set.parameters()) tensor.add_(0.3);
    std::filesystem::create_directories(folder / name);
    save_adapter(set, folder / name);
    return {name, folder / name, CheckpointKind::kAdapter, -1};
  }
  CheckpointRef reference(const std::string& name) {
    return {name, folder / name, name == "base" ? CheckpointKind::kBase : CheckpointKind::kFull,
            -1};
  }
  static torch::Tensor logits(Stage& stage) {
    torch::NoGradGuard no_grad;
    return dynamic_cast<LanguageStage&>(stage).train_probe(*stage.random_sample(3)).logits;
  }
  torch::Tensor fresh(const CheckpointRef& checkpoint, double scale) {
    return logits(*load_stage(make_context(config), adapter, checkpoint, scale).stage);
  }

  TemporaryFolder folder;
  RunConfig config;
  test::ToyAdapter adapter;
  CheckpointRef one, two;
};

TEST_F(LoadStage, ScaleCounts) {
  const torch::Tensor base = fresh(reference("base"), 1.0);
  EXPECT_TRUE(torch::equal(fresh(one, 0.0), base));
  EXPECT_FALSE(torch::allclose(fresh(one, 1.0), base));
  EXPECT_FALSE(torch::allclose(fresh(one, 0.5), fresh(one, 1.0)));
  EXPECT_FALSE(torch::allclose(fresh(two, 1.0), fresh(one, 1.0)));
  EXPECT_FALSE(torch::allclose(fresh(reference("full"), 1.0), base));
}

TEST_F(LoadStage, DropoutIsOff) {
  config.train.dropout = 0.5;
  EXPECT_TRUE(torch::equal(fresh(one, 1.0), fresh(one, 1.0)));
}

TEST_F(LoadStage, LoaderEqualsLoadingAnew) {
  StageLoader loader(make_context(config), adapter);
  const std::vector<std::pair<CheckpointRef, double>> order = {{reference("base"), 1.0},
                                                               {one, 1.0},
                                                               {one, 0.5},
                                                               {two, 1.0},
                                                               {reference("base"), 1.0},
                                                               {two, 0.25},
                                                               {reference("full"), 1.0},
                                                               {one, 1.0}};
  const std::vector<int64_t> generations = {1, 1, 1, 1, 1, 1, 2, 3};
  for (size_t i = 0; i < order.size(); ++i) {
    const auto& [checkpoint, scale] = order[i];
    EXPECT_TRUE(torch::equal(logits(loader.load(checkpoint, scale)), fresh(checkpoint, scale)))
        << i;
    EXPECT_EQ(loader.generation(), generations[i]) << i;
  }
}

TEST_F(LoadStage, FoldersOfOtherModels) {
  std::filesystem::create_directories(folder / "empty");
  EXPECT_THAT(message_of<DataError>([&] { fresh(reference("empty"), 1.0); }),
              HasSubstr("not a checkpoint of Toy"));
  config.checkpoint = folder / "empty";
  EXPECT_THAT(message_of<DataError>([&] { fresh(one, 1.0); }), HasSubstr("checkpoint: "));
}

TEST(RequireAcceptedLicense, NamesTheLineToWrite) {
  RunConfig config;
  config.file = "run.yaml";
  ModelInfo info;
  info.title = "Toy";
  info.license = {"Toy Research License", false, ""};
  require_accepted_license(config, info);  // nothing to accept
  info.license.accept = "toy-research";
  const std::string error = message_of<UsageError>([&] { require_accepted_license(config, info); });
  EXPECT_THAT(error, HasSubstr("write `accept_license: toy-research` into the run file"));
  config.accept_license = "another";
  EXPECT_THAT(message_of<UsageError>([&] { require_accepted_license(config, info); }),
              HasSubstr("Toy Research License (accept_license: another)"));
  config.accept_license = "toy-research";
  require_accepted_license(config, info);
}

}  // namespace
}  // namespace ttsft
