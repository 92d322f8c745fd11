#include "src/train/trainer.h"

#include <limits>

#include "train_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using Trained = test::ToyRun;

std::vector<double> losses_of(const Trained& run) {
  std::vector<double> losses;
  for (const auto& row : run.rows()) losses.push_back(row["loss"]);
  return losses;
}

TEST(Trainer, WritesEveryFieldOfAStep) {
  Trained run;
  run.config.train.schedule.warmup_steps = 2;
  run.train();
  const auto rows = run.rows();
  ASSERT_EQ(rows.size(), 3U);
  std::vector<std::string> keys;
  for (const auto& [key, value] : rows[0].items()) keys.push_back(key);
  EXPECT_EQ(keys,
            (std::vector<std::string>{"step", "loss", "loss_terms", "grad_norm", "learning_rate",
                                      "tokens", "tokens_per_second", "seconds", "memory_bytes"}));
  for (int64_t step = 1; step <= 3; ++step) {
    const auto& row = rows[static_cast<size_t>(step - 1)];
    EXPECT_EQ(row["step"], step);
    const double total =
        row["loss_terms"]["main"].get<double>() + 0.5 * row["loss_terms"]["sub"].get<double>();
    EXPECT_NEAR(row["loss"].get<double>(), total, 1e-12);
    EXPECT_GT(row["grad_norm"].get<double>(), 0);
    EXPECT_GT(row["memory_bytes"].get<int64_t>(), 1'000'000);
    EXPECT_GE(row["seconds"].get<double>(), 0);
    EXPECT_EQ(row["tokens"].get<int64_t>() % 3, 0);  // one main and two sub tokens each
  }
  EXPECT_DOUBLE_EQ(rows[0]["learning_rate"], 0.01) << "the warm-up is cut to a tenth";
  EXPECT_DOUBLE_EQ(rows[1]["learning_rate"], 0.01);
}

TEST(Trainer, LearnsInBothMethodsAndPrecisions) {
  for (const char* method : {"lora", "full"}) {
    for (const char* precision : {"fp32", "bf16"}) {
      Trained run;
      run.config.train.method = method;
      run.config.precision = precision;
      run.config.train.steps = 60;
      run.config.train.checkpoint_every = 0;
      run.config.train.optimizer.learning_rate = 0.03;
      run.train();
      const auto losses = losses_of(run);
      EXPECT_LT(losses.back(), losses.front() - 0.2) << method << " " << precision;
    }
  }
}

// The mean is over the tokens of the step, wherever the batches are cut.
TEST(Trainer, AccumulationEqualsOneLargeBatch) {
  std::vector<std::vector<double>> losses, norms;
  std::vector<std::unique_ptr<Trained>> runs;
  for (const int64_t rows : {4, 2, 1}) {
    auto run = std::make_unique<Trained>(std::vector<int64_t>{4, 9, 3, 6});
    run->config.train.method = "full";
    run->config.train.shuffle = false;
    run->config.train.batch_utterances = rows;
    run->config.train.accumulate = 4 / rows;
    run->train();
    losses.push_back(losses_of(*run));
    runs.push_back(std::move(run));
  }
  for (size_t i = 1; i < losses.size(); ++i) {
    for (size_t step = 0; step < 3; ++step) EXPECT_NEAR(losses[i][step], losses[0][step], 1e-5);
    test::expect_same_tensors(runs[0]->checkpoint(3) / "model.safetensors",
                              runs[i]->checkpoint(3) / "model.safetensors", 1e-4);
  }
}

// A constant on a loss has no gradient: the runs differ by the recorded draws alone.
TEST(Trainer, ReplaysRecordedDraws) {
  Trained plain, replayed({4, 6, 5, 7, 4, 6}, /*validation=*/2);
  plain.config.train.shuffle = replayed.config.train.shuffle = false;
  test::write_toy_set(plain.config.data.prepared, {4, 6, 5, 7, 4, 6}, 2);
  plain.train();
  replayed.adapter.faults->noise = 1;
  NamedTensors draws;
  for (int64_t i = 0; i < 6; ++i) {
    const std::string id = "clip" + std::to_string(i);
    draws.emplace_back(id + ".noise", torch::tensor({3.f}));
    draws.emplace_back("2." + id + ".noise", torch::tensor({5.f}));
  }
  replayed.config.train.replay = replayed.config.eval.replay =
      replayed.folder / "draws.safetensors";
  save_tensors(replayed.config.train.replay, draws);
  replayed.train();
  const auto without = losses_of(plain), with = losses_of(replayed);
  EXPECT_NEAR(with[0], without[0] + 3, 1e-5);
  EXPECT_NEAR(with[1], without[1] + 5, 1e-5);
  EXPECT_NEAR(with[2], without[2] + 3, 1e-5);
  EXPECT_NEAR(replayed.rows(true)[0]["validation_loss"].get<double>(),
              plain.rows(true)[0]["validation_loss"].get<double>() + 3, 1e-5);
  replayed.config.run = replayed.folder / "other";
  draws.resize(2);
  save_tensors(replayed.config.train.replay, draws);
  EXPECT_NE(message_of<DataError>([&] { replayed.train(); }).find(".noise"), std::string::npos);
}

TEST(Trainer, TheOrderWithinAStepDoesNotMatter) {
  Trained ordered({4, 9, 3, 6}), shuffled({4, 9, 3, 6});
  for (Trained* run : {&ordered, &shuffled}) {
    run->config.train.batch_utterances = 1;
    run->config.train.accumulate = 4;
  }
  ordered.config.train.shuffle = false;
  ordered.train();
  shuffled.train();
  for (size_t step = 0; step < 3; ++step) {
    EXPECT_NEAR(losses_of(ordered)[step], losses_of(shuffled)[step], 1e-5);
  }
}

TEST(Trainer, ALossThatIsNoneStopsTheRunAndNamesTheClips) {
  for (const double scale :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0.0}) {
    Trained run;
    int calls = 0;
    run.adapter.faults->on_loss = [&](const Batch&) {
      if (++calls == 3) run.adapter.faults->scale = scale;  // after the check and step 1
    };
    const std::string message = message_of<RunError>([&] { run.train(); });
    EXPECT_NE(message.find("step 2 (clip"), std::string::npos) << message;
    EXPECT_EQ(run.rows().size(), 1U);
    EXPECT_FALSE(std::filesystem::exists(run.config.run / "checkpoints"));
  }
}

TEST(Trainer, ATermWithoutTokensInAStepIsLeftOut) {
  Trained run;
  test::write_toy_set(run.config.data.prepared, {4, 5, 6}, 0, 0, /*without_sub=*/{1});
  run.config.train.batch_utterances = 1;
  run.config.train.shuffle = false;
  run.train();
  const auto rows = run.rows();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(rows[0]["loss_terms"].contains("sub"));
  EXPECT_FALSE(rows[1]["loss_terms"].contains("sub"));
  EXPECT_EQ(rows[1]["loss"], rows[1]["loss_terms"]["main"]);
  EXPECT_EQ(rows[1]["tokens"], 4);
}

TEST(Trainer, OutOfMemoryNamesBatchAndRemedies) {
  Trained run;
  int calls = 0;
  run.adapter.faults->on_loss = [&](const Batch&) {
    if (++calls == 3) {
      throw c10::OutOfMemoryError(c10::SourceLocation{__func__, __FILE__, __LINE__}, "CUDA");
    }
  };
  const std::string message = message_of<RunError>([&] { run.train(); });
  for (const char* part : {"out of memory: step 2, largest batch 2 clips and", "(clip",
                           "train.batch_tokens", "activation_checkpointing", "bf16"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
}

TEST(Trainer, ValidatesBeforeDuringAndAfter) {
  Trained run({4, 6, 5, 7, 4, 6}, /*validation=*/2);
  run.config.train.steps = 5;
  run.config.train.validate_every = 2;
  run.train();
  const auto rows = run.rows(/*validation=*/true);
  ASSERT_EQ(rows.size(), 4U);
  const std::vector<int64_t> steps = {0, 2, 4, 5};
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["step"], steps[i]);
    EXPECT_FALSE(rows[i].contains("loss"));
    const auto& terms = rows[i]["validation_terms"];
    EXPECT_NEAR(rows[i]["validation_loss"].get<double>(),
                terms["main"].get<double>() + 0.5 * terms["sub"].get<double>(), 1e-9);
    EXPECT_EQ(rows[i]["validation_codebooks"]["sub"]["loss"].size(), 2U);
    EXPECT_EQ(rows[i]["validation_codebooks"]["sub"]["accuracy"].size(), 2U);
    EXPECT_LE(rows[i]["validation_accuracy"]["main"].get<double>(), 1.0);
  }
  EXPECT_EQ(rows[0]["tokens"], 3 * (3 + 5));
  EXPECT_EQ(read_best_step(run.config.run), 5);
}

TEST(Trainer, PatienceEndsTheRunAndTheBestStays) {
  Trained run({4, 6, 5, 7, 4, 6}, /*validation=*/3);
  run.config.train.steps = 200;
  run.config.train.validate_every = 1;
  run.config.train.checkpoint_every = 1;
  run.config.train.patience = 2;
  run.config.train.keep.all = false;
  run.config.train.optimizer.learning_rate = 3.0;  // far too much: validation gets worse
  const auto result = run.train();
  EXPECT_TRUE(result["stopped_early"]);
  const auto step = result["step"].get<int64_t>();
  EXPECT_LT(step, 200);
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(step)));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(read_best_step(run.config.run))));
  const auto again = run.train();  // nothing is left to do
  EXPECT_EQ(again["step"], step);
  EXPECT_EQ(run.rows().size(), static_cast<size_t>(step));
}

}  // namespace
}  // namespace ttsft
