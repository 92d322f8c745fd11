#include "ttsft/model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/peft.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A base and a run with steps 20 (full), 100 and 1000 (adapters), and what a killed run leaves.
struct Checkpoints : ::testing::Test {
  Checkpoints() {
    folder.write("base/model.safetensors", "");
    config.checkpoint = folder / "base";
    config.run = folder / "run";
    adapter("run/checkpoints/step-00000100");
    adapter("run/checkpoints/step-00001000");
    folder.write("run/checkpoints/step-00000020/model.safetensors", "");
    folder.write("run/checkpoints/step-00000030/config.resolved.yaml", "");
    folder.write("run/checkpoints/.step-00002000.partial-1-0/model.safetensors", "");
    folder.write("run/checkpoints/step-12x/model.safetensors", "");
  }

  void adapter(const std::string& name) {
    PeftConfig peft;
    peft.r = 4;
    peft.lora_alpha = 8;
    peft.target_modules.endings = {"q_proj"};
    folder.write(name + "/adapter_config.json", peft_config_json(peft).dump());
    folder.write(name + "/adapter_model.safetensors", "");
    folder.write(name + "/config.json", "{}");
  }

  std::string error_of(const std::string& name) {
    return message_of<UsageError>([&] { resolve_checkpoint(config, name); });
  }
  std::vector<std::string> names(const std::vector<std::string>& wanted) {
    std::vector<std::string> found;
    for (const CheckpointRef& ref : resolve_checkpoints(config, wanted)) found.push_back(ref.name);
    return found;
  }

  TemporaryFolder folder;
  RunConfig config;
};

TEST(StepFolderName, HasEightDigits) {
  EXPECT_EQ(step_folder_name(100), "step-00000100");
  EXPECT_EQ(step_folder_name(123456789), "step-123456789");
}

TEST_F(Checkpoints, OfARunByStep) {
  const auto refs = run_checkpoints(config);
  ASSERT_EQ(refs.size(), 3U);
  EXPECT_EQ(refs[0].step, 20);
  EXPECT_EQ(refs[0].kind, CheckpointKind::kFull);
  EXPECT_EQ(refs[1].name, "step-00000100");
  EXPECT_EQ(refs[1].kind, CheckpointKind::kAdapter);
  EXPECT_EQ(refs[2].step, 1000);
}

TEST_F(Checkpoints, NoRunHasNone) {
  config.run = folder / "other";
  EXPECT_TRUE(run_checkpoints(config).empty());
  config.run.clear();
  EXPECT_TRUE(run_checkpoints(config).empty());
}

TEST_F(Checkpoints, Base) {
  const CheckpointRef base = resolve_checkpoint(config, "base");
  EXPECT_EQ(base.kind, CheckpointKind::kBase);
  EXPECT_EQ(base.folder, folder / "base");
  EXPECT_EQ(base.step, -1);
  config.checkpoint = folder / "nowhere";
  EXPECT_THAT(error_of("base"), HasSubstr("nowhere"));
  config.checkpoint.clear();
  EXPECT_THAT(error_of("base"), HasSubstr("checkpoint: key is missing"));
}

TEST_F(Checkpoints, ByStepAndLast) {
  EXPECT_EQ(resolve_checkpoint(config, "step-00000100").step, 100);
  EXPECT_EQ(resolve_checkpoint(config, "step-100").folder,
            folder / "run/checkpoints/step-00000100");
  EXPECT_EQ(resolve_checkpoint(config, "last").step, 1000);
  EXPECT_THAT(error_of("step-30"),
              HasSubstr("there are: base, step-00000020, step-00000100, step-00001000"));
}

TEST_F(Checkpoints, Best) {
  EXPECT_THAT(error_of("best"), HasSubstr("never validated"));
  write_best_step(config.run, 100, 2.5);
  EXPECT_EQ(read_best_step(config.run), 100);
  EXPECT_EQ(resolve_checkpoint(config, "best").step, 100);
  write_best_step(config.run, 500, 2.25);
  EXPECT_THAT(error_of("best"), HasSubstr("step-00000500"));
  folder.write("run/best.json", "{}");
  EXPECT_THROW(read_best_step(config.run), DataError);
}

TEST_F(Checkpoints, ARunWithoutAny) {
  config.run = folder / "other";
  EXPECT_THAT(error_of("last"), HasSubstr("no checkpoint yet"));
  EXPECT_THAT(error_of("best"), HasSubstr("no checkpoint yet"));
  EXPECT_THAT(error_of("step-5"), HasSubstr("there are: base; "));
  config.run.clear();
  EXPECT_THAT(error_of("last"), HasSubstr("run: key is missing"));
}

TEST_F(Checkpoints, FoldersFromElsewhere) {
  adapter("other/mine");
  const CheckpointRef mine = resolve_checkpoint(config, (folder / "other/mine/").string());
  EXPECT_EQ(mine.name, "mine");
  EXPECT_EQ(mine.kind, CheckpointKind::kAdapter);
  EXPECT_EQ(mine.step, -1);
  const auto full = folder.write("tuned/weights.pt", "").parent_path();
  EXPECT_EQ(resolve_checkpoint(config, full.string()).kind, CheckpointKind::kFull);
  const std::string own = (folder / "run/checkpoints/step-00000100").string();
  EXPECT_EQ(resolve_checkpoint(config, own).step, 100);
}

TEST_F(Checkpoints, WrongNames) {
  EXPECT_THAT(error_of("bset"), HasSubstr("no such checkpoint: bset; there are: base, "));
  EXPECT_THAT(error_of(""), HasSubstr("no name"));
  const auto empty = folder.write("empty/notes.txt", "").parent_path();
  const auto half = folder.write("half/adapter_model.safetensors", "").parent_path();
  EXPECT_THAT(message_of<DataError>([&] { resolve_checkpoint(config, empty.string()); }),
              HasSubstr("neither an adapter nor a model"));
  EXPECT_THAT(message_of<DataError>([&] { resolve_checkpoint(config, half.string()); }),
              HasSubstr("half an adapter"));
}

TEST_F(Checkpoints, ContradictionIsRefusedWhereItWasWritten) {
  config.lora.rank = 16;  // a preset's
  config.lora.alpha = 32;
  EXPECT_EQ(resolve_checkpoint(config, "last").step, 1000);
  config.given = {"lora.alpha"};
  EXPECT_THAT(error_of("last"), HasSubstr("lora.alpha is 32, but the adapter has 8"));
  EXPECT_THROW(resolve_checkpoints(config, {"all"}), UsageError);
  config.given = {"lora.rank", "lora.alpha"};
  EXPECT_THAT(error_of("step-100"), HasSubstr("lora.rank is 16, but the adapter has 4"));
  EXPECT_EQ(resolve_checkpoint(config, "step-20").step, 20);  // no adapter
  config.lora.rank = 4;
  config.lora.alpha = 8;
  EXPECT_EQ(resolve_checkpoint(config, "last").step, 1000);
}

TEST_F(Checkpoints, ListsBeginWithTheBase) {
  EXPECT_THAT(names({"all"}),
              ElementsAre("base", "step-00000020", "step-00000100", "step-00001000"));
  EXPECT_THAT(names({"base"}), ElementsAre("base"));
  EXPECT_THAT(names({"last", "step-20", "base", "step-00001000"}),
              ElementsAre("base", "step-00000020", "step-00001000"));
}

TEST_F(Checkpoints, ListsTakeFolders) {
  adapter("other/mine");
  adapter("other/checkpoints/step-00000100");
  const std::string mine = (folder / "other/mine").string();
  const std::string twin = (folder / "other/checkpoints/step-00000100").string();
  EXPECT_THAT(names({mine, "all", twin}),
              ElementsAre("base", "step-00000020", "step-00000100", "step-00001000", "mine", twin));
  EXPECT_THAT(names({config.checkpoint.string()}), ElementsAre("base"));
}

TEST_F(Checkpoints, AllBeforeAnyTrainIsTheBase) {
  config.run = folder / "other";
  EXPECT_THAT(names({"all"}), ElementsAre("base"));
}

TEST_F(Checkpoints, EvalMeasuresOneStage) {
  EXPECT_THAT(names({"lm=last"}), ElementsAre("base", "step-00001000"));
  EXPECT_THAT(message_of<UsageError>([&] { names({"flow=last"}); }),
              HasSubstr("give --set train.stage=flow"));
  folder.write("run/checkpoints/step-00001000/config.resolved.yaml", "train: {stage: flow}\n");
  const std::string error = message_of<UsageError>([&] { names({"last"}); });
  EXPECT_THAT(error, HasSubstr("step-00001000 is of the stage flow, train.stage is lm"));
  EXPECT_THAT(error, HasSubstr("give --set train.stage=flow"));
  config.train.stage = "flow";
  EXPECT_THAT(names({"flow=last"}), ElementsAre("base", "step-00001000"));
}

}  // namespace
}  // namespace ttsft
