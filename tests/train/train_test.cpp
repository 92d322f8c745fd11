#include "ttsft/train/train.h"
#include "ttsft/io/atomic_file.h"

#include <csignal>
#include <stdexcept>

#include "train_support.h"
#include "ttsft/core/error.h"
#include "ttsft/core/signals.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using test::ToyRun;

// Rows without what depends on the clock and the process.
std::vector<nlohmann::ordered_json> numbers_of(const ToyRun& run) {
  auto rows = read_metrics(run.config.run);
  for (auto& row : rows) {
    for (const char* key : {"seconds", "tokens_per_second", "memory_bytes"}) row.erase(key);
  }
  return rows;
}

// A run with everything that could break an exact continuation: dropout, shuffled batches, steps
// that end inside an epoch, a schedule, validations.
void make_hard(ToyRun& run, const std::string& method, const std::string& precision) {
  run.config.train.method = method;
  run.config.precision = precision;
  run.config.train.steps = 11;
  run.config.train.batch_utterances = 1;
  run.config.train.accumulate = 2;
  run.config.train.dropout = 0.2;
  run.config.lora.dropout = 0.2;
  run.config.train.schedule.name = "cosine";
  run.config.train.validate_every = 3;
  run.config.train.checkpoint_every = 4;
}

const std::vector<int64_t> kLengths = {4, 6, 5, 7, 4, 6, 8, 3};

struct Case {
  const char *method, *precision, *file;
};
class ResumeTest : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Methods, ResumeTest,
                         ::testing::Values(Case{"lora", "fp32", "adapter_model.safetensors"},
                                           Case{"full", "fp32", "model.safetensors"},
                                           Case{"full", "bf16", "model.safetensors"}));

TEST_P(ResumeTest, ASignalSavesAndTheNextTrainGivesTheSameNumbers) {
  const auto& [method, precision, file] = GetParam();
  ToyRun whole(kLengths, 2), halves(kLengths, 2);
  make_hard(whole, method, precision);
  make_hard(halves, method, precision);
  whole.train();

  install_signal_handlers();
  int batches = 0;
  halves.adapter.faults->on_loss = [&](const Batch& batch) {
    const bool trains = batch.ids[0] != "clip0" && batch.ids[0] != "clip1";
    if (trains && ++batches == 2 + 2 * 5) std::raise(SIGTERM);  // the check, then in step 5
  };
  try {
    halves.train();
    ADD_FAILURE() << "not stopped";
  } catch (const Stopped& stopped) {
    EXPECT_EQ(stopped.signal, SIGTERM);
  }
  clear_stop_signal();
  halves.adapter.faults->on_loss = nullptr;
  EXPECT_EQ(halves.rows().size(), 5U);
  EXPECT_TRUE(fs::exists(halves.checkpoint(5) / "trainer_state"));
  EXPECT_FALSE(fs::exists(halves.checkpoint(4) / "trainer_state"));
  const auto result = halves.train();

  EXPECT_EQ(result["resumed_from"], 5);
  EXPECT_EQ(numbers_of(halves), numbers_of(whole));
  test::expect_same_tensors(halves.checkpoint(11) / file, whole.checkpoint(11) / file);
  test::expect_same_tensors(halves.checkpoint(11) / "trainer_state" / "optimizer.safetensors",
                            whole.checkpoint(11) / "trainer_state" / "optimizer.safetensors");
  EXPECT_EQ(read_best_step(halves.config.run), read_best_step(whole.config.run));
}

TEST_P(ResumeTest, AfterACrashItGoesBackToTheLastCheckpoint) {
  const auto& [method, precision, file] = GetParam();
  ToyRun whole(kLengths, 2), crashed(kLengths, 2);
  make_hard(whole, method, precision);
  make_hard(crashed, method, precision);
  whole.train();
  int batches = 0;
  crashed.adapter.faults->on_loss = [&](const Batch&) {
    if (++batches == 24) throw std::runtime_error("power cut");
  };
  EXPECT_THROW(crashed.train(), std::runtime_error);
  crashed.adapter.faults->on_loss = nullptr;
  EXPECT_EQ(crashed.train()["resumed_from"], 4);
  EXPECT_EQ(numbers_of(crashed), numbers_of(whole));
  test::expect_same_tensors(crashed.checkpoint(11) / file, whole.checkpoint(11) / file);
}

TEST(Train, WritesTheRunFolder) {
  ToyRun run;
  const auto result = run.train();
  EXPECT_EQ(result["step"], 3);
  EXPECT_EQ(result["checkpoints"], std::vector<std::string>{"step-00000003"});
  EXPECT_TRUE(result["best"].is_null());
  for (const char* name :
       {"config.resolved.yaml", "metrics.jsonl", "log.txt", "tensorboard",
        "checkpoints/step-00000003/adapter_model.safetensors",
        "checkpoints/step-00000003/adapter_config.json", "checkpoints/step-00000003/toy.json",
        "checkpoints/step-00000003/config.resolved.yaml"}) {
    EXPECT_TRUE(fs::exists(run.config.run / name)) << name;
  }
  const std::string text = describe_train(result);
  EXPECT_NE(text.find("trained 3 of 3 steps\n"), std::string::npos) << text;
  EXPECT_NE(text.find("1 checkpoints in "), std::string::npos) << text;
}

TEST(Train, AFullBf16RunStoresItsMasters) {
  ToyRun run;
  run.config.train.method = "full";
  run.config.precision = "bf16";
  run.train();
  const auto file = SafetensorsReader::open(run.checkpoint(3) / "model.safetensors");
  EXPECT_EQ(file.at("head.weight").dtype, DType::kF32);
  EXPECT_EQ(file.at("frozen.weight").dtype, DType::kBF16);
}

TEST(Train, InitFromContinuesAnAdapterOfAnotherRun) {
  ToyRun first;
  first.train();
  ToyRun second;
  second.config.lora.init_from = first.checkpoint(3);
  second.config.train.shuffle = first.config.train.shuffle = false;
  second.config.train.steps = 1;
  second.train();
  // The third batch of the first run is as good as it gets; the second one starts from there.
  ToyRun fresh;
  fresh.config.train.shuffle = false;
  fresh.config.train.steps = 1;
  fresh.train();
  EXPECT_NE(second.rows()[0]["loss"], fresh.rows()[0]["loss"]);
}

TEST(Train, AnotherConfigurationIsRefusedWithItsKeys) {
  ToyRun run;
  run.train();
  run.config.train.optimizer.learning_rate = 0.5;
  run.config.eval.split = "all";  // these may differ
  run.config.train.keep.all = false;
  const std::string message = message_of<UsageError>([&] { run.train(); });
  EXPECT_NE(message.find("train.optimizer.learning_rate: 0.01 -> 0.5"), std::string::npos)
      << message;
  EXPECT_EQ(message.find("eval"), std::string::npos) << message;
  run.config.train.optimizer.learning_rate = 0.01;
  EXPECT_EQ(run.train()["step"], 3);  // finished already
  EXPECT_EQ(run.rows().size(), 3U);
}

TEST(Train, FreshWantsAnEmptyFolder) {
  ToyRun run;
  EXPECT_NO_THROW(run.train({.fresh = true}));
  EXPECT_THROW(run.train({.fresh = true}), UsageError);
  ToyRun other;
  other.folder.write("run/notes.txt", "mine");
  const std::string message = message_of<UsageError>([&] { other.train({.fresh = true}); });
  EXPECT_NE(message.find("notes.txt"), std::string::npos) << message;
}

TEST(Train, ARefusedAttemptDoesNotClaimTheFolder) {
  ToyRun run;
  run.config.lora.targets.endings = {"nope"};
  EXPECT_THROW(run.train(), UsageError);
  run.adapter.faults->decoding_differs = true;
  run.config.lora.targets.endings = {"q_proj"};
  EXPECT_THROW(run.train(), CheckError);
  run.adapter.faults->decoding_differs = false;
  run.config.lora.targets.endings = {"up_proj"};
  EXPECT_NO_THROW(run.train({.fresh = false}));
}

TEST(Train, AFolderInUseIsRefused) {
  ToyRun run;
  const FolderLock lock(run.config.run);
  EXPECT_THROW(run.train(), RunError);
}

TEST(Train, WithoutTrainerStateItCannotContinue) {
  ToyRun run;
  run.train();
  fs::remove_all(run.checkpoint(3) / "trainer_state");
  const std::string message = message_of<UsageError>([&] { run.train(); });
  EXPECT_NE(message.find("no checkpoint here holds trainer_state"), std::string::npos) << message;
}

TEST(Train, AChangedSetOrSplitIsRefused) {
  ToyRun run;
  run.train();
  run.config.data.validation.share = 0.5;
  const std::string message = message_of<UsageError>([&] { run.train(); });
  EXPECT_NE(message.find("run prep again"), std::string::npos) << message;
  run.config.data.validation.share = 0;
  test::write_toy_set(run.config.data.prepared, {5, 5, 5});
  const std::string changed = message_of<UsageError>([&] { run.train(); });
  EXPECT_NE(changed.find("the prepared set has changed"), std::string::npos) << changed;
}

TEST(Train, WrongRequestsAreOneLine) {
  ToyRun run;
  run.config.train.stage = "flow";
  EXPECT_THROW(run.train(), UsageError);
  run.config.train.stage = "lm";
  run.config.checkpoint = run.config.data.prepared;
  const std::string message = message_of<DataError>([&] { run.train(); });
  EXPECT_NE(message.find("not a checkpoint of Toy"), std::string::npos) << message;
  run.config.checkpoint.clear();
  EXPECT_THROW(run.train(), UsageError);
}

// PEFT loads an adapter as a plain one when its task is null.
TEST(Train, TheModelNamesTheTaskOfItsAdapters) {
  struct Named : test::ToyAdapter {
    explicit Named(const char* task) : own(test::ToyAdapter::info()) {
      if (task) own.peft_task_type = task;
    }
    const ModelInfo& info() const override { return own; }
    ModelInfo own;
  };
  const auto written = [](const char* task) {
    ToyRun run;
    run.config.train.steps = 1;
    run_train(run.config, Named(task), {});
    const auto json = nlohmann::json::parse(read_text(run.checkpoint(1) / "adapter_config.json"));
    return json.at("task_type");
  };
  EXPECT_EQ(written(nullptr), "CAUSAL_LM");
  EXPECT_EQ(written("FEATURE_EXTRACTION"), "FEATURE_EXTRACTION");
  EXPECT_TRUE(written("").is_null());
}

// `auto` of another device would go on in another precision.
TEST(TrainResume, ComparesWhatAutoMeans) {
  test::ToyRun run;
  run.config.precision = "auto";
  run.train();
  EXPECT_EQ(dumped_value(read_text(run.config.run / "config.resolved.yaml"), "precision"), "fp32");
  run.config.precision = "fp32";
  EXPECT_EQ(run.train().at("step"), 3);  // the same run
  run.config.precision = "bf16";
  EXPECT_NE(message_of<UsageError>([&] { run.train(); }).find("precision: fp32 -> bf16"),
            std::string::npos);
}

TEST(TrainLicense, HasToBeAccepted) {
  test::ToyRun run;
  run.adapter.info_.license.accept = "toy-research";
  EXPECT_NE(message_of<UsageError>([&] {
              run.train({.dry_run = true});
            }).find("write `accept_license: toy-research`"),
            std::string::npos);
  run.config.accept_license = "toy-research";
  EXPECT_EQ(run.train().at("step"), 3);
}

}  // namespace
}  // namespace ttsft
