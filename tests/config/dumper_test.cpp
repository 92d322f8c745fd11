#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "config/config_support.h"

namespace ttsft {
namespace {

using test::RunFile;
using test::ToyOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Loads a dump from another folder: a dump must not depend on where it lies.
RunConfig reload(const std::string& dump) {
  return RunFile(dump).load();
}

constexpr const char* kBusy = R"(model: toy
checkpoint: some folder/with # signs
run: "quo\"ted"
seed: 9007199254740993
data:
  source: set
  speaker: "007"
  instruct: "two\nlines: \"quoted\" # no comment"
  validation: held.txt
  guards: {clipping: off, bandwidth: refuse}
train:
  epochs: 0.1
  batch_utterances: 3
  dropout: 0
  patience: 4
  optimizer: {learning_rate: 2e-6, betas: [0.9, 0.99999999], eps: 1e-8}
  keep: {last: 2, best: 1}
lora: {targets: '.*\.layers\.\d+\.(q|k)_proj', alpha: 0.30000000000000004}
eval: {checkpoints: [base, last, other], lora_scales: [0, 0.35, 1], metrics: [cer, "1"]}
toy: {language: "no", streaming: false, table: words.txt}
)";

TEST(DumpRun, LoadsBackToTheSame) {
  for (const char* text : {"model: toy\n", "model: plain\n", kBusy}) {
    for (const bool comments : {false, true}) {
      const RunConfig run = RunFile(text).load();
      const RunConfig again = reload(dump_run(run, comments));
      EXPECT_EQ(dump_run(again), dump_run(run));
    }
  }
  const RunConfig run = RunFile(kBusy).load(), again = reload(dump_run(run));
  EXPECT_EQ(again.checkpoint, run.checkpoint);
  EXPECT_EQ(again.run, run.run);
  EXPECT_EQ(again.seed, 9007199254740993);
  EXPECT_EQ(again.data.speaker, "007");
  EXPECT_EQ(again.data.instruct, "two\nlines: \"quoted\" # no comment");
  EXPECT_EQ(again.data.validation.list, run.data.validation.list);
  EXPECT_EQ(again.data.guards, run.data.guards);
  EXPECT_EQ(again.train.epochs, 0.1);
  EXPECT_FALSE(again.train.steps);
  EXPECT_FALSE(again.train.batch_tokens);  // although the preset sets it
  EXPECT_EQ(again.train.dropout, 0);
  EXPECT_EQ(again.train.optimizer.learning_rate, 2e-6);
  EXPECT_EQ(again.train.optimizer.betas, run.train.optimizer.betas);
  EXPECT_FALSE(again.train.keep.all);
  EXPECT_EQ(again.lora.targets.regex, R"(.*\.layers\.\d+\.(q|k)_proj)");
  EXPECT_EQ(again.lora.alpha, 0.30000000000000004);
  EXPECT_EQ(again.eval.checkpoints.names, run.eval.checkpoints.names);
  EXPECT_THAT(again.eval.metrics, ElementsAre("cer", "1"));
  const auto& toy = dynamic_cast<const ToyOptions&>(*again.model_options);
  EXPECT_EQ(toy.language, "no");
  EXPECT_FALSE(toy.streaming);
  EXPECT_EQ(toy.table, dynamic_cast<const ToyOptions&>(*run.model_options).table);
}

TEST(DumpRun, IsPlainYaml) {
  const std::string dump = dump_run(RunFile("model: toy\n").load());
  EXPECT_THAT(dump, HasSubstr("model: toy\ncheckpoint: null\n"));
  EXPECT_THAT(dump, HasSubstr("\ntrain:\n  stage: lm\n  replay: null\n  checks: {}\n  method: "
                              "lora\n  steps: 1000\n  epochs: null\n"));
  EXPECT_THAT(dump, HasSubstr("    learning_rate: 2.0e-06\n    betas: [0.9, 0.999]\n"));
  EXPECT_THAT(dump, HasSubstr("\ntoy:\n  mode: clone\n"));
  EXPECT_EQ(dump.find('#'), std::string::npos);
}

TEST(DumpRun, CommentsSayWhatEachKeyIs) {
  const std::string dump = dump_run(default_run("toy", test::lookup), true);
  EXPECT_THAT(
      dump,
      HasSubstr("  mode: clone                       # clone | icl: how the voice is given\n"));
  EXPECT_THAT(dump, HasSubstr("# what prep reads, or a list: "));
  EXPECT_THAT(dump, HasSubstr("\n  source: null\n"));  // too long for one line: help stands before
  std::stringstream lines(dump);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
}

struct Empty : Section {
  void bind(Binder&) override {}
};

TEST(DumpRun, SectionWithoutKeys) {
  RunConfig run = default_run("plain", test::lookup);
  run.model_options = std::make_shared<Empty>();
  const auto lookup = [](const std::string&) {
    return ModelDefaults{std::make_shared<Empty>(), nullptr};
  };
  const RunFile file(dump_run(run));
  EXPECT_EQ(dump_run(load_run(file.file(), {}, lookup)), dump_run(run));
}

}  // namespace
}  // namespace ttsft
