#include "src/train/checkpoints.h"

#include "train_support.h"
#include "ttsft/core/error.h"
#include "ttsft/core/process.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

struct CheckpointsTest : ::testing::Test, test::ToyRun {
  CheckpointsTest() {
    const ModelContext context{config, torch::kCPU, torch::kFloat32};
    stage = adapter.make_stage(context, {"base", config.checkpoint, CheckpointKind::kBase, -1});
    trainee = make_trainee(config, *stage, torch::kCPU, {});
  }

  // Steps 1 to 5 with these validation losses, saved one after the other.
  void save_five(const std::vector<double>& losses) {
    AdamW optimizer(trainee.weights.masters(), {});
    TrainerState state;
    for (const double loss : losses) {
      ++state.step;
      state.validations.push_back({state.step, loss});
      save_checkpoint(config, *stage, trainee, optimizer, state);
      // At no time is the best so far gone.
      EXPECT_TRUE(std::filesystem::exists(checkpoint(read_best_step(config.run))));
    }
  }

  std::set<std::string> with_state() const {
    std::set<std::string> names;
    for (const std::string& name : checkpoint_names()) {
      if (has_trainer_state(config.run / "checkpoints" / name)) names.insert(name);
    }
    return names;
  }

  using Names = std::set<std::string>;
  std::unique_ptr<Stage> stage;
  Trainee trainee;
};

TEST_F(CheckpointsTest, AllAreKeptButStateOnlyForLastAndBest) {
  save_five({5, 1, 4, 3, 2});
  EXPECT_EQ(checkpoint_names().size(), 5U);
  EXPECT_EQ(with_state(), (Names{"step-00000002", "step-00000005"}));
  EXPECT_EQ(read_best_step(config.run), 2);
}

TEST_F(CheckpointsTest, PruningNeverTakesTheBestOrTheLast) {
  config.train.keep.all = false;
  config.train.keep.last = 0;
  config.train.keep.best = 0;
  save_five({5, 1, 4, 3, 2});
  EXPECT_EQ(checkpoint_names(), (Names{"step-00000002", "step-00000005"}));
}

TEST_F(CheckpointsTest, KeepsTheLastFewAndTheBestFew) {
  config.train.keep.all = false;
  config.train.keep.last = 2;
  config.train.keep.best = 2;
  save_five({5, 1, 3, 4, 6});
  EXPECT_EQ(checkpoint_names(),
            (Names{"step-00000002", "step-00000003", "step-00000004", "step-00000005"}));
}

TEST_F(CheckpointsTest, WithoutValidationThereIsNoBest) {
  config.train.keep.all = false;
  config.train.keep.last = 1;
  AdamW optimizer(trainee.weights.masters(), {});
  TrainerState state;
  for (state.step = 1; state.step <= 3; ++state.step) {
    save_checkpoint(config, *stage, trainee, optimizer, state);
  }
  EXPECT_EQ(checkpoint_names(), Names{"step-00000003"});
  EXPECT_EQ(read_best_step(config.run), -1);
  EXPECT_EQ(best_checkpoint(config, {}), -1);
}

TEST_F(CheckpointsTest, StateRoundTrip) {
  AdamW optimizer(trainee.weights.masters(), {});
  const TrainerState state{7, {2, 3}, "abc", {{0, 0.1}, {7, 1.0 / 3}}};
  save_checkpoint(config, *stage, trainee, optimizer, state);
  const TrainerState read = read_trainer_state(checkpoint(7));
  EXPECT_EQ(read.step, 7);
  EXPECT_EQ(read.next, (Position{2, 3}));
  EXPECT_EQ(read.data, "abc");
  ASSERT_EQ(read.validations.size(), 2U);
  EXPECT_EQ(read.validations[1].loss, 1.0 / 3);
  folder.write("bad/trainer_state/state.json", "{\"version\": 1, \"step\": \"x\"}");
  EXPECT_THROW(read_trainer_state(folder / "bad"), DataError);
}

TEST(TrainerState, CountsValidationsSinceTheLowest) {
  TrainerState state;
  EXPECT_EQ(state.validations_without_gain(), 0);
  state.validations = {{0, 3}, {1, 2}, {2, 2}, {3, 2.5}};
  EXPECT_EQ(state.validations_without_gain(), 2);
}

// A process that was killed while it removed a checkpoint, and one in a checkpoint's state.
TEST(RunFolderSweep, TakesAwayWhatWasHalfRemoved) {
  test::ToyRun run;
  run.config.train.steps = 2;
  run.train();
  const std::string own = process_identity();  // of this machine; its process ended long ago
  const std::string gone = ".partial-" + own.substr(0, own.rfind('-') + 1) + "999999999-0";
  const auto inside = run.checkpoint(2) / (".trainer_state" + gone);
  const auto beside = run.config.run / ("checkpoints/.step-00000001" + gone);
  for (const auto& place : {inside, beside}) {
    std::filesystem::create_directories(place);
    write_text_atomic(place / "model.safetensors", "half");
  }
  run.train();  // finds nothing to do
  EXPECT_FALSE(std::filesystem::exists(inside));
  EXPECT_FALSE(std::filesystem::exists(beside));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(2) / "adapter_model.safetensors"));
}

}  // namespace
}  // namespace ttsft
