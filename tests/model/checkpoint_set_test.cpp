#include "ttsft/model/checkpoint_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/peft.h"
#include "ttsft/nn/weights.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

// A model of two stages, a run of the stage `lm` and the folders of others.
struct CheckpointSets : ::testing::Test {
  CheckpointSets() {
    info.name = "toy";
    info.stages = {"lm", "flow"};
    info.stage_modules = {{"lm", {"talker."}}, {"flow", {"decoder.", "encoder."}}};
    folder.write("base/model.safetensors", "");
    config.checkpoint = folder / "base";
    config.run = folder / "run";
    adapter("run/checkpoints/step-00000010", "lm");
    adapter("run/checkpoints/step-00000020", "lm");
    adapter("flow", "flow");
    full("full_lm", "lm");
    full("full_flow", "flow");
    folder.write("elsewhere/model.safetensors", "");
  }

  void adapter(const std::string& name, const std::string& stage, int64_t rank = 4) {
    PeftConfig peft;
    peft.r = rank;
    peft.lora_alpha = 8;
    peft.target_modules.endings = {"q_proj"};
    folder.write(name + "/adapter_config.json", peft_config_json(peft).dump());
    folder.write(name + "/adapter_model.safetensors", "");
    if (!stage.empty())
      folder.write(name + "/config.resolved.yaml", "train:\n  stage: " + stage + "\n");
  }
  // As PEFT alone writes it: only the tensors say what it is for.
  std::string foreign(const std::string& name, const std::string& module, int64_t rank = 4) {
    adapter(name, "", rank);
    const torch::Tensor values = torch::zeros({4, 4});
    save_tensors(folder / name / "adapter_model.safetensors",
                 {{"base_model.model." + module + ".lora_A.weight", values},
                  {"base_model.model." + module + ".lora_B.weight", values}});
    return path(name);
  }
  void full(const std::string& name, const std::string& stage) {
    folder.write(name + "/model.safetensors", "");
    folder.write(name + "/config.resolved.yaml", "train: {stage: " + stage + "}\n");
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  CheckpointSet set(const std::vector<std::string>& names) const {
    return resolve_checkpoint_set(config, info, names);
  }
  std::string error_of(const std::vector<std::string>& names) const {
    return message_of<UsageError>([&] { set(names); });
  }

  TemporaryFolder folder;
  RunConfig config;
  ModelInfo info;
};

TEST_F(CheckpointSets, NothingNamedIsTheBase) {
  for (const auto& names : {std::vector<std::string>{}, {"base"}, {"lm=base"}}) {
    EXPECT_EQ(set(names).base.folder, config.checkpoint);
    EXPECT_TRUE(set(names).stages.empty());
    EXPECT_EQ(set(names).name(), "base");
    EXPECT_EQ(set(names).of("flow").kind, CheckpointKind::kBase);
  }
}

TEST_F(CheckpointSets, OneNameIsOfTheStageItWasTrainedFor) {
  const CheckpointSet own = set({"last"});
  EXPECT_EQ(own.of("lm").step, 20);
  EXPECT_EQ(own.of("flow").kind, CheckpointKind::kBase);
  EXPECT_EQ(own.name(), "step-00000020");
  EXPECT_TRUE(own.has_adapter());
  EXPECT_EQ(set({path("flow")}).of("flow").name, "flow");
  EXPECT_EQ(set({path("flow")}).of("lm").kind, CheckpointKind::kBase);
}

TEST_F(CheckpointSets, ARunOfTheStageFlow) {
  config.run = folder / "other";
  adapter("other/checkpoints/step-00000005", "flow");
  write_best_step(config.run, 5, 1.0);
  EXPECT_EQ(set({"flow=best"}).of("flow").step, 5);
  EXPECT_EQ(set({"best"}).of("flow").step, 5);
  const std::string error = error_of({"lm=best"});
  EXPECT_THAT(error, HasSubstr("step-00000005 is of the stage flow, not lm"));
  EXPECT_THAT(error, HasSubstr("write --checkpoint flow=best"));
}

TEST_F(CheckpointSets, APartOfEachStage) {
  const CheckpointSet both = set({"lm=step-10", "flow=" + path("flow")});
  EXPECT_EQ(both.base.kind, CheckpointKind::kBase);
  EXPECT_EQ(both.of("lm").step, 10);
  EXPECT_EQ(both.of("flow").folder, folder / "flow");
  EXPECT_EQ(both.name(), "flow=flow, lm=step-00000010");
  EXPECT_EQ(set({"step-10", path("flow")}).name(), both.name());  // they say it themselves
}

TEST_F(CheckpointSets, ACompleteFolder) {
  // Alone it is the whole model, whatever it was trained for.
  const CheckpointSet alone = set({path("full_flow")});
  EXPECT_EQ(alone.of("flow").folder, folder / "full_flow");
  EXPECT_EQ(alone.of("lm").folder, folder / "full_flow");
  EXPECT_EQ(alone.name(), "full_flow");
  EXPECT_FALSE(alone.has_adapter());
  const CheckpointSet unknown = set({path("elsewhere")});
  EXPECT_EQ(unknown.base.kind, CheckpointKind::kFull);
  EXPECT_EQ(unknown.of("lm").folder, folder / "elsewhere");
  // Beside another it brings the files of its stage.
  const CheckpointSet two = set({path("full_lm"), path("full_flow")});
  EXPECT_EQ(two.base.folder, config.checkpoint);
  EXPECT_EQ(two.of("lm").folder, folder / "full_lm");
  EXPECT_EQ(two.of("flow").folder, folder / "full_flow");
  const CheckpointSet named = set({"lm=last", path("elsewhere")});
  EXPECT_EQ(named.base.folder, folder / "elsewhere");
  EXPECT_EQ(named.name(), "elsewhere, lm=step-00000020");
  EXPECT_EQ(set({"flow=" + path("elsewhere"), "last"}).of("flow").folder, folder / "elsewhere");
}

TEST_F(CheckpointSets, AdaptersFromElsewhereSayItByTheirNames) {
  EXPECT_EQ(set({foreign("a", "decoder.mid.0.q_proj")}).of("flow").name, "a");
  EXPECT_EQ(set({foreign("b", "talker.layers.0.q_proj")}).of("lm").name, "b");
  EXPECT_EQ(set({foreign("c", "nowhere.q_proj")}).of("lm").name, "c");
  info.stages = {"lm"};
  info.stage_modules.clear();
  EXPECT_EQ(set({foreign("d", "decoder.q_proj")}).of("lm").name, "d");
}

TEST_F(CheckpointSets, TheLoraSectionSpeaksOfTheStageThatIsTrained) {
  config.given = {"lora.rank"};
  config.lora.rank = 4;
  adapter("flow", "flow", 2);
  EXPECT_EQ(set({"last", path("flow")}).of("flow").name, "flow");
  EXPECT_EQ(set({"flow=" + foreign("a", "decoder.q_proj", 2)}).of("flow").name, "a");
  config.lora.rank = 8;
  EXPECT_THAT(error_of({"last"}), HasSubstr("lora.rank is 8, but the adapter has 4"));
}

TEST_F(CheckpointSets, WrongUsage) {
  const std::string unknown = error_of({"vocoder=best"});
  EXPECT_THAT(unknown, HasSubstr("toy has no stage vocoder"));
  EXPECT_THAT(unknown, HasSubstr("it has: lm, flow"));
  EXPECT_THAT(error_of({"lm=last", "lm=step-10"}), HasSubstr("two checkpoints of the stage lm"));
  EXPECT_THAT(error_of({path("elsewhere"), "base"}), HasSubstr("two checkpoints of no stage"));
  EXPECT_THAT(error_of({"lm=" + path("flow")}), HasSubstr("is of the stage flow, not lm"));
  EXPECT_THAT(error_of({"lm=nowhere"}), HasSubstr("no such checkpoint"));
  EXPECT_THAT(error_of({"lm="}), HasSubstr("the checkpoint has no name"));
}

}  // namespace
}  // namespace ttsft
