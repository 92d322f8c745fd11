#include "ttsft/eval/eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "support/temporary_folder.h"
#include "support/toy_stage.h"
#include "ttsft/core/signals.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/model/load_stage.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

struct Eval : ::testing::Test {
  Eval() {
    test::write_toy_checkpoint(folder / "base");
    test::write_toy_set(folder / "prepared", {5, 9, 3, 7, 8, 4}, 2);
    config.model = "toy";
    config.checkpoint = folder / "base";
    config.run = folder / "run";
    config.data.prepared = folder / "prepared";
    config.device = "cpu";
    config.precision = "fp32";
    config.eval.split = "all";
    config.eval.checkpoints.names = {"all"};
  }

  void write_adapter(int64_t step, double strength) {
    LoadedStage base = load_stage(make_context(config), adapter,
                                  {"base", config.checkpoint, CheckpointKind::kBase, -1}, 1.0);
    PeftConfig peft;
    peft.r = 2;
    peft.target_modules.endings = {"q_proj"};
    LoraSet set =
        LoraSet::create(select_sites(adapter_sites(base.stage->module()), peft.target_modules),
                        peft, torch::kCPU, 1);
    for (auto& [name, tensor] : set.parameters()) tensor.add_(strength);
    const auto target = folder / "run/checkpoints" / step_folder_name(step);
    std::filesystem::create_directories(target);
    save_adapter(set, target);
  }
  Json run() { return run_eval(config, adapter, {}); }

  TemporaryFolder folder;
  RunConfig config;
  test::ToyAdapter adapter;
};

// Both results' losses, by the paths of their numbers.
void expect_same_losses(const Json& a, const Json& b) {
  const Json flat_a = a.flatten(), flat_b = b.flatten();
  ASSERT_EQ(flat_a.size(), flat_b.size());
  for (const auto& [path, value] : flat_a.items()) {
    if (value.is_number_float()) {
      EXPECT_NEAR(value.get<double>(), flat_b.at(path).get<double>(), 1e-6) << path;
    } else {
      EXPECT_EQ(value, flat_b.at(path)) << path;
    }
  }
}

// Worked out from single utterances, with none of the engine's sums.
TEST_F(Eval, LossIsTheMeanOverTokens) {
  const Json row = run().at("checkpoints").at(0);
  LoadedStage base = load_stage(make_context(config), adapter,
                                {"base", config.checkpoint, CheckpointKind::kBase, -1}, 1.0);
  torch::NoGradGuard no_grad;
  std::map<std::string, std::vector<torch::Tensor>> nll;
  const PreparedSet set = PreparedSet::open(folder / "prepared", "toy");
  for (const PreparedRow& prepared : set.all()) {
    const auto sample = base.stage->read(prepared);
    const Sample* pointer = sample.get();
    const auto batch = base.stage->collate(std::span(&pointer, 1), {});
    for (const LossTerm& term : base.stage->loss(*batch, {})) nll[term.name].push_back(term.value);
  }
  const torch::Tensor main = torch::cat(nll.at("main")), sub = torch::cat(nll.at("sub"));
  const auto mean = [](const torch::Tensor& values) { return values.mean().item<double>(); };
  EXPECT_NEAR(row.at("loss_terms").at("main").get<double>(), mean(main), 1e-6);
  EXPECT_NEAR(row.at("loss_terms").at("sub").get<double>(), mean(sub), 1e-6);
  EXPECT_NEAR(row.at("loss").get<double>(), mean(main) + 0.5 * mean(sub), 1e-6);
  EXPECT_EQ(row.at("term_tokens").at("main"), main.numel());
  EXPECT_EQ(row.at("term_tokens").at("sub"), sub.numel());
  EXPECT_EQ(row.at("tokens"), main.numel() + sub.numel());
  const Json& codebooks = row.at("codebooks").at("sub");
  EXPECT_NEAR(codebooks.at("loss").at(1).get<double>(), mean(sub.select(1, 1)), 1e-6);
  EXPECT_FALSE(row.at("codebooks").contains("main"));
  const Json& third = row.at("utterances").at(2);
  EXPECT_EQ(third.at("id"), "clip2");
  EXPECT_NEAR(third.at("loss").get<double>(),
              mean(nll.at("main")[2]) + 0.5 * mean(nll.at("sub")[2]), 1e-6);
  double hits = 0;
  for (const Json& value : codebooks.at("accuracy")) hits += value.get<double>() / 2;
  EXPECT_NEAR(row.at("accuracy").at("sub").get<double>(), hits, 1e-12);
}

TEST_F(Eval, DrawsHangOnTheUtteranceOrAreReplayed) {
  const double plain = run().at("checkpoints").at(0).at("loss_terms").at("main");
  adapter.faults->noise = 1;
  const Json all = run().at("checkpoints").at(0);
  config.train.batch_utterances = 1;
  config.train.batch_tokens.reset();
  config.eval.split = "validation";
  const Json held = run().at("checkpoints").at(0);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(held.at("utterances").at(i).at("loss").get<double>(),
                all.at("utterances").at(i).at("loss").get<double>(), 1e-6);
  }
  config.eval.split = "all";
  config.eval.replay = folder / "draws.safetensors";
  std::vector<std::pair<std::string, torch::Tensor>> draws;
  for (int i = 0; i < 6; ++i)
    draws.emplace_back("clip" + std::to_string(i) + ".noise", torch::tensor({3.f}));
  save_tensors(config.eval.replay, draws);
  EXPECT_NEAR(run().at("checkpoints").at(0).at("loss_terms").at("main").get<double>(), plain + 3,
              1e-5);
  draws.pop_back();
  save_tensors(config.eval.replay, draws);
  EXPECT_THAT(message_of<DataError>([&] { run(); }), HasSubstr("clip5.noise"));
}

TEST_F(Eval, BatchingChangesNothing) {
  write_adapter(10, 0.2);
  Json one_by_one, budget, whole;
  const auto losses = [&](std::optional<int64_t> utterances, std::optional<int64_t> tokens) {
    config.train.batch_utterances = utterances;
    config.train.batch_tokens = tokens;
    return run().at("checkpoints");
  };
  const Json single = losses(1, {});
  expect_same_losses(single, losses({}, 16));
  expect_same_losses(single, losses(64, {}));
}

TEST_F(Eval, BaseFirstThenBySteps) {
  write_adapter(100, 0.2);
  write_adapter(20, 0.0);
  const Json result = run();
  const Json& rows = result.at("checkpoints");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].at("name"), "base");
  EXPECT_EQ(rows[0].at("step"), 0);
  EXPECT_EQ(rows[1].at("name"), "step-00000020");
  EXPECT_EQ(rows[2].at("step"), 100);
  EXPECT_EQ(rows[1].at("loss"), rows[0].at("loss"));  // lora_B is zero
  EXPECT_NE(rows[2].at("loss"), rows[0].at("loss"));
  const bool adapter_wins = rows[2].at("loss").get<double>() < rows[0].at("loss").get<double>();
  EXPECT_EQ(result.at("best"), adapter_wins ? "step-00000100" : "base");
}

TEST_F(Eval, ScalesAreRowsOfTheirOwn) {
  write_adapter(100, 0.2);
  config.eval.lora_scales = {1.0, 0.3, 0.0};
  const Json rows = run().at("checkpoints");
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[1].at("name"), "step-00000100");
  EXPECT_EQ(rows[2].at("name"), "step-00000100@0.3");
  EXPECT_EQ(rows[2].at("lora_scale"), 0.3);
  EXPECT_EQ(rows[3].at("loss"), rows[0].at("loss"));
  EXPECT_NE(rows[2].at("loss"), rows[1].at("loss"));
}

TEST_F(Eval, FullCheckpointsAndFolders) {
  test::write_toy_checkpoint(folder / "tuned", 5);
  config.eval.checkpoints.names = {(folder / "tuned").string()};
  const Json rows = run().at("checkpoints");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].at("name"), "tuned");
  EXPECT_TRUE(rows[1].at("step").is_null());
  EXPECT_NE(rows[1].at("loss"), rows[0].at("loss"));
}

TEST_F(Eval, Splits) {
  const auto ids = [&](const std::string& split) {
    config.eval.split = split;
    std::vector<std::string> found;
    const Json result = run();
    for (const Json& one : result.at("checkpoints").at(0).at("utterances")) {
      found.push_back(one.at("id"));
    }
    return found;
  };
  EXPECT_THAT(ids("validation"), ::testing::ElementsAre("clip0", "clip1"));
  EXPECT_THAT(ids("train"), ::testing::ElementsAre("clip2", "clip3", "clip4", "clip5"));
  EXPECT_EQ(ids("all").size(), 6U);
  config.data.prepared = folder / "whole";
  test::write_toy_set(folder / "whole", {5, 6});
  EXPECT_EQ(ids("validation").size(), 2U);
  EXPECT_EQ(run().at("split"), "all");
}

TEST_F(Eval, ReportIsKept) {
  write_adapter(100, 0.2);
  const Json result = run();
  EXPECT_EQ(Json::parse(read_text(folder / "run/eval/report.json")), result);
  const std::string report = read_text(folder / "run/eval/report.md");
  EXPECT_THAT(report, HasSubstr("| step-00000100 |"));
  EXPECT_THAT(report, HasSubstr("## sub, accuracy by codebook"));
  EXPECT_THAT(report, Not(HasSubstr("## main")));
}

TEST_F(Eval, WorksWithoutARunFolder) {
  config.run.clear();
  EXPECT_EQ(run().at("checkpoints").size(), 1U);
  config.run = folder.write("file", "") / "run";  // cannot be made: said, not fatal
  EXPECT_EQ(run().at("best"), "base");
}

TEST_F(Eval, TableIsRanked) {
  write_adapter(100, 0.2);
  Json result = run();
  result["checkpoints"][0]["loss"] = 3.5;
  result["checkpoints"][1]["loss"] = 3.25;
  const std::string table = describe_eval(result);
  EXPECT_THAT(table, ::testing::MatchesRegex("(.|\n)*1  step-00000100  3.2500  -0.2500(.|\n)*"
                                             "2  base           3.5000     base(.|\n)*"));
  result["checkpoints"][1]["loss"] = nullptr;
  EXPECT_THAT(describe_eval(result), HasSubstr("1  base"));
}

TEST_F(Eval, SaysHowSureTheRankingIs) {
  write_adapter(20, 0.0);
  write_adapter(100, 0.2);
  const Json result = run();
  EXPECT_EQ(result.at("clips"), 6);
  const Json& rows = result.at("checkpoints");
  EXPECT_GT(rows[0].at("loss_error"), 0);
  EXPECT_EQ(rows[1].at("to_base_error"), 0);  // lora_B is zero
  EXPECT_GT(rows[2].at("to_base_error"), 0);
  EXPECT_LT(rows[2].at("to_base_error"), rows[0].at("loss_error")) << "not paired by clip";
  const auto ties = [](const Json& row) { return row.at("ties_with_best").get<bool>(); };
  EXPECT_EQ(ties(rows[0]) || ties(rows[1]), true) << "one of two equal ones is the best";
  EXPECT_THAT(describe_eval(result), AllOf(HasSubstr("ranked by 6 clips; ± is one standard error"),
                                           HasSubstr("they cannot tell from the best: ")));
}

TEST_F(Eval, OneClipHasNoError) {
  config.data.prepared = folder / "one";
  test::write_toy_set(folder / "one", {5});
  const Json result = run();
  EXPECT_TRUE(result.at("checkpoints")[0].at("loss_error").is_null());
  EXPECT_THAT(describe_eval(result), HasSubstr("ranked by 1 clip: chance decides"));
}

TEST_F(Eval, ALossThatIsNotANumber) {
  adapter.faults->scale = std::numeric_limits<double>::quiet_NaN();
  const Json result = run();
  EXPECT_TRUE(result.at("checkpoints").at(0).at("loss").is_null());
  EXPECT_TRUE(result.at("best").is_null());
  EXPECT_THAT(describe_eval(result), HasSubstr("base"));
}

TEST_F(Eval, WrongUsage) {
  const auto error = [&] { return message_of<UsageError>([&] { run(); }); };
  config.eval.metrics = {"wer"};
  EXPECT_THAT(error(), HasSubstr("eval.metrics: speech metrics are not part of this version"));
  config.eval.metrics.clear();
  config.eval.prompts = "prompts.txt";
  EXPECT_THAT(error(), HasSubstr("remove eval.prompts"));
  config.eval.prompts.clear();
  config.eval.checkpoints.names = {"step-7"};
  EXPECT_THAT(error(), HasSubstr("no such checkpoint: step-7"));
  config.data.prepared.clear();
  EXPECT_THAT(error(), HasSubstr("data.prepared: key is missing"));
}

TEST_F(Eval, WrongData) {
  config.data.prepared = folder / "nowhere";
  EXPECT_THROW(run(), DataError);
  config.data.prepared = folder / "held";
  test::write_toy_set(folder / "held", {5, 6}, 2);
  config.eval.split = "train";
  EXPECT_THAT(message_of<DataError>([&] { run(); }), HasSubstr("the split train is empty"));
  config.data.prepared = folder / "short";
  test::write_toy_set(folder / "short", {1, 1});  // one token predicts nothing
  config.eval.split = "all";
  EXPECT_THAT(message_of<DataError>([&] { run(); }), HasSubstr("no token"));
}

TEST_F(Eval, ASignalStops) {
  install_signal_handlers();
  adapter.faults->on_loss = [](const Batch&) { std::raise(SIGTERM); };
  config.train.batch_utterances = 1;
  EXPECT_THROW(run(), Stopped);
  clear_stop_signal();
  EXPECT_FALSE(std::filesystem::exists(folder / "run/eval/report.json"));
}

TEST_F(Eval, DryRun) {
  write_adapter(100, 0.2);
  const Json result = run_eval(config, adapter, {.dry_run = true});
  EXPECT_EQ(result.at("utterances"), 6);
  EXPECT_THAT(describe_eval(result), HasSubstr("base step-00000100"));
  EXPECT_FALSE(std::filesystem::exists(folder / "run/eval"));
}

}  // namespace
}  // namespace ttsft
