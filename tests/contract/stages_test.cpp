// What every further stage of a model must keep: one that is no language model proves itself by its
// losses. A model inherits these tests from the stages that its adapter names.
#include <gtest/gtest.h>

#include "tests/contract/world.h"
#include "tests/support/spoken.h"
#include "ttsft/core/error.h"
#include "ttsft/eval/eval.h"
#include "ttsft/export/export.h"
#include "ttsft/model/loss_sums.h"

namespace ttsft {
namespace {

struct FurtherStage {
  const ModelAdapter* adapter;
  std::string name;
};

std::vector<FurtherStage> further_stages() {
  std::vector<FurtherStage> all;
  for (const ModelAdapter* adapter : all_models()) {
    for (const std::string& stage : adapter->info().stages) {
      if (stage != "lm") all.push_back({adapter, stage});
    }
  }
  return all;
}

class StageContract : public testing::TestWithParam<FurtherStage> {
 protected:
  World& world() { return world_of(*GetParam().adapter); }
  const ModelAdapter& adapter() { return *GetParam().adapter; }
  const std::string& name() { return GetParam().name; }

  std::unique_ptr<Stage> stage(const CheckpointRef& checkpoint) {
    config_ = world().run_of(name());
    auto made = adapter().make_stage(make_context(config_), checkpoint);
    made->module().eval();
    return made;
  }
  Samples samples(Stage& of) {
    return read_samples(of, PreparedSet::open(config_.data.prepared, adapter().info().name).train);
  }

 private:
  RunConfig config_;
};

std::vector<const Sample*> pointers(const Samples& samples) {
  std::vector<const Sample*> rows;
  for (const auto& sample : samples) rows.push_back(sample.get());
  return rows;
}

LossSums losses(Stage& stage, const std::vector<const Sample*>& rows, const Draw& draw = {}) {
  const torch::NoGradGuard no_grad;
  const auto batch = stage.make_batch(rows, draw);
  LossSums sums;
  sums.add(*batch, stage.loss(*batch, {.accuracy = true}));
  return sums;
}

// In evaluation an utterance draws by its id: neither its neighbours nor the batch count.
TEST_P(StageContract, ARowOfABatchIsAsAlone) {
  const auto made = stage(world().base());
  const Samples set = samples(*made);
  const auto together = losses(*made, pointers(set)).utterances();
  for (const auto& sample : set) {
    const double alone = losses(*made, {sample.get()}).totals().loss();
    EXPECT_NEAR(together.at(sample->id).loss(), alone, 1e-4 * alone) << sample->id;
  }
}

TEST_P(StageContract, EqualDrawsGiveEqualLossesAndOthersDoNot) {
  const auto made = stage(world().base());
  const Samples set = samples(*made);
  const auto at = [&](uint64_t seed) {
    return losses(*made, pointers(set), Draw{.training = true, .seed = seed}).totals().loss();
  };
  EXPECT_EQ(at(3), at(3));
  EXPECT_NE(at(3), at(4));
}

TEST_P(StageContract, ScaleZeroIsTheBaseAndOneIsNot) {
  const auto made = stage(world().base());
  const Samples set = samples(*made);
  const auto now = [&] { return losses(*made, pointers(set)).totals().loss(); };
  const double base = now();
  LoraSet lora = LoraSet::load(made->module(), world().random_adapter(name()), test::test_device());
  lora.set_scale(0.0);
  EXPECT_EQ(now(), base);
  lora.set_scale(1.0);
  const double adapted = now();
  EXPECT_GT(std::abs(adapted - base), 1e-5 * base) << "no more than rounding";
  lora.merge();
  EXPECT_NEAR(now(), adapted, 1e-3 * adapted);
}

TEST_P(StageContract, TrainingLowersItsLoss) {
  world().memorised(name());
  const auto report = run_eval(world().run_of(name()), adapter(), {});
  ASSERT_EQ(report["checkpoints"].size(), 2u);
  EXPECT_LT(report["checkpoints"][1]["loss"].get<double>(),
            0.8 * report["checkpoints"][0]["loss"].get<double>());
  EXPECT_EQ(report["best"], report["checkpoints"][1]["name"]);
}

bool encodes(const ModelInfo& info, const std::string& stage) {
  return std::find(info.prep_stages.begin(), info.prep_stages.end(), stage) !=
         info.prep_stages.end();
}

// What a stage that encodes recordings has learned is heard by prep, and given to it as a
// checkpoint.
TEST_P(StageContract, PrepHearsWhatEncodes) {
  if (!encodes(adapter().info(), name())) GTEST_SKIP() << "prep does not encode with it";
  RunConfig config = world().config;
  config.checkpoint = world().memorised(name()).folder;
  config.data.prepared = world().folder / ("prepared-by-" + name());
  run_prep(config, adapter(), {});
  const std::string key = adapter().encoded_keys().front();
  const auto codes = [&](const RunConfig& run) {
    return PreparedSet::open(run.data.prepared, adapter().info().name).train[0].row.at(key);
  };
  EXPECT_EQ(codes(config).size(), codes(world().config).size());
  EXPECT_NE(codes(config), codes(world().config));
}

// One stage trained, the other as it was released: what is not its own stays.
TEST_P(StageContract, SpeaksBesideTheOtherStages) {
  if (encodes(adapter().info(), name())) GTEST_SKIP() << "nothing is spoken with it";
  const CheckpointRef own = world().memorised(name());
  const RunConfig config = world().config;
  const std::vector<test::SeededText> text = {{kClips[0].text, 1}};
  const auto speak = [&](const CheckpointSet& set) {
    const auto synth = adapter().make_synthesizer(make_context(config), set, 1.0);
    const auto rows = test::decode_all(*synth, text, {.greedy = true, .max_frames = 20});
    return std::pair{rows[0].codes, test::sound_of(*synth, text, rows)[0]};
  };
  const auto [codes, wave] = speak({world().base(), {}});
  const auto [same_codes, other_wave] = speak({world().base(), {{name(), own}}});
  EXPECT_TRUE(torch::equal(codes, same_codes));
  ASSERT_EQ(wave.sizes(), other_wave.sizes());
  EXPECT_FALSE(torch::allclose(wave, other_wave, 1e-2, 1e-3));
}

// One run file trains the stages one after the other and speaks with both.
TEST_P(StageContract, OneRunFolderHoldsTheRunsOfAllStages) {
  RunConfig run = world().run_of("lm");
  run.run = world().folder / ("both-" + name());
  run.train.steps = 1;
  run_train(run, adapter(), {});
  RunConfig other = run;
  other.train.stage = name();
  run_train(other, adapter(), {});
  const CheckpointSet set =
      resolve_checkpoint_set(run, adapter().info(), {"lm=last", name() + "=last"});
  EXPECT_EQ(set.of("lm").folder, run.run / "checkpoints/step-00000001");
  EXPECT_EQ(set.of(name()).folder, run.run / name() / "checkpoints/step-00000001");
  EXPECT_EQ(run_eval(other, adapter(), {})["checkpoints"].size(), 2u);
  EXPECT_EQ(run_train(run, adapter(), {})["resumed_from"], 1) << "the first one is found again";
}

TEST_P(StageContract, ExportHoldsAdaptersOfAllStages) {
  const std::filesystem::path out = world().folder / ("exported-" + name());
  ExportOptions options;
  options.out = out;
  options.checkpoints = {"lm=" + world().random_adapter("lm").string(),
                         name() + "=" + world().random_adapter(name()).string()};
  options.lora_scale = 0.5;
  run_export(world().config, adapter(), options);  // verifies every stage itself
  const auto merged = stage({"exported", out, CheckpointKind::kFull});
  const Samples set = samples(*merged);
  const double exported = losses(*merged, pointers(set)).totals().loss();
  const auto made = stage(world().base());
  LoraSet lora = LoraSet::load(made->module(), world().random_adapter(name()), test::test_device());
  lora.set_scale(0.5);
  EXPECT_NEAR(exported, losses(*made, pointers(set)).totals().loss(), 1e-3 * exported);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StageContract);
INSTANTIATE_TEST_SUITE_P(Stages, StageContract, testing::ValuesIn(further_stages()),
                         [](const testing::TestParamInfo<FurtherStage>& info) {
                           return info.param.adapter->info().folder + "_" + info.param.name;
                         });

}  // namespace
}  // namespace ttsft
