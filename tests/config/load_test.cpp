#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::RunFile;
using test::ToyOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// As PyYAML's safe_dump writes it.
constexpr const char* kPyYaml = R"(model: toy
checkpoint: /data/checkpoint
run: out/run
device: cpu
precision: fp32
seed: 1
data:
  source: /data/in.jsonl
  prepared: prepared
  validation: 0
  speaker: 7
  instruct: null
train:
  method: lora
  steps: 8
  batch_utterances: 64
  accumulate: 1
  shuffle: false
  dropout: 0
  optimizer:
    name: adamw
    learning_rate: 0.001
    betas:
    - 0.9
    - 0.999
    eps: 1.0e-08
    weight_decay: 0.01
  schedule:
    name: constant
    warmup_steps: 0
  clip_grad_norm: 1.0
  checkpoint_every: 8
  keep: all
lora:
  rank: 4
  alpha: 8
  targets: [q_proj, k_proj]
toy:
  mode: icl
  streaming: false
  table: words.txt
)";

TEST(LoadRun, ReadsEveryKind) {
  const RunFile file(kPyYaml);
  const RunConfig run = file.load();
  EXPECT_EQ(run.model, "toy");
  EXPECT_EQ(run.checkpoint, "/data/checkpoint");
  EXPECT_EQ(run.run, file.folder() / "out/run");
  EXPECT_EQ(run.data.validation.share, 0);
  EXPECT_EQ(run.data.speaker, "7");  // a number where a text is wanted is its text
  EXPECT_EQ(run.train.steps, 8);
  EXPECT_EQ(run.train.batch_utterances, 64);
  EXPECT_FALSE(run.train.shuffle);
  EXPECT_EQ(run.train.dropout, 0);
  EXPECT_EQ(run.train.optimizer.learning_rate, 0.001);
  EXPECT_EQ(run.train.optimizer.eps, 1e-8);
  EXPECT_THAT(run.train.optimizer.betas, ElementsAre(0.9, 0.999));
  EXPECT_TRUE(run.train.keep.all);
  EXPECT_EQ(run.lora.alpha, 8);
  EXPECT_THAT(run.lora.targets.endings, ElementsAre("q_proj", "k_proj"));
  EXPECT_EQ(run.file, file.file());
  const auto* toy = dynamic_cast<const ToyOptions*>(run.model_options.get());
  ASSERT_NE(toy, nullptr);
  EXPECT_EQ(toy->mode, "icl");
  EXPECT_FALSE(toy->streaming);
  EXPECT_EQ(toy->language, "auto");
  EXPECT_EQ(toy->table, file.folder() / "words.txt");
}

TEST(LoadRun, FillsThePlan) {
  const RunConfig plain = RunFile("model: plain\n").load();
  EXPECT_EQ(plain.train.steps, 1000);
  EXPECT_FALSE(plain.train.epochs);
  EXPECT_EQ(plain.train.batch_tokens, 8192);
  EXPECT_FALSE(plain.train.batch_utterances);
  EXPECT_FALSE(RunFile("model: plain\ntrain: {epochs: 2}\n").load().train.steps);
}

TEST(LoadRun, UserBeatsPresetBeatsDefault) {
  const RunConfig preset = RunFile("model: toy\n").load();
  EXPECT_EQ(preset.lora.rank, 8);
  EXPECT_EQ(preset.synth.top_k, 25);
  EXPECT_EQ(preset.lora.alpha, 32);
  EXPECT_EQ(preset.train.batch_tokens, 4096);
  const RunConfig user =
      RunFile("model: toy\nlora: {rank: 2}\ntrain: {batch_utterances: 3}\n").load();
  EXPECT_EQ(user.lora.rank, 2);
  EXPECT_EQ(user.synth.top_k, 25);
  EXPECT_EQ(user.train.batch_utterances, 3);
  EXPECT_FALSE(user.train.batch_tokens);  // displaced
}

TEST(LoadRun, NullResetsAndEmptySectionsAreFine) {
  const RunConfig run = RunFile(
                            "model: toy\ntrain:\n  patience: null\n  batch_tokens: null\nlora:\n"
                            "data:\n  reference:\n  guards:\n")
                            .load();
  EXPECT_FALSE(run.train.patience);
  EXPECT_EQ(run.train.batch_tokens, 8192);  // the preset's is gone, the default stands
  EXPECT_TRUE(run.data.reference.empty());
}

TEST(LoadRun, RemembersWhatWasWritten) {
  const RunFile file("model: toy\nlora: {rank: 4}\ntrain: {patience:, optimizer: {eps: 1.0e-6}}\n");
  const RunConfig config = file.load({"lora.dropout=0.1"});
  EXPECT_THAT(config.given,
              ElementsAre("lora.dropout", "lora.rank", "model", "train.optimizer.eps"));
}

TEST(LoadRun, PathsStartAtTheFile) {
  const RunFile file(
      "model: plain\nrun: ./a/../b/\ndata: {validation: held.txt}\nlora: {init_from: ../x}\n"
      "eval: {checkpoints: [base, mine]}\n");
  const RunConfig run = file.load();
  EXPECT_EQ(run.run, file.folder() / "b");
  EXPECT_EQ(run.data.validation.list, file.folder() / "held.txt");
  EXPECT_EQ(run.lora.init_from, file.folder().parent_path() / "x");
  EXPECT_THAT(run.eval.checkpoints.names, ElementsAre("base", (file.folder() / "mine").string()));
}

TEST(LoadRun, HomeFolderIsKnown) {
  const char* home = std::getenv("HOME");
  if (!home) GTEST_SKIP() << "no HOME";
  EXPECT_EQ(RunFile("model: plain\nrun: ~/r\n").load().run, fs::path(home) / "r");
}

// --- overrides

TEST(Overrides, WinOverTheFileInTheirOrder) {
  const RunFile file("model: toy\nlora: {rank: 4, alpha: 6}\n");
  const RunConfig run =
      file.load({"lora.rank=5", "lora.rank=6", "toy.mode=icl", "eval.checkpoints=base",
                 "train.optimizer.betas=[0.8, 0.9]", "seed=3", "lora={dropout: 0.5}"});
  EXPECT_EQ(run.lora.rank, 6);
  EXPECT_EQ(run.lora.alpha, 6);
  EXPECT_EQ(run.lora.dropout, 0.5);
  EXPECT_EQ(run.seed, 3);
  EXPECT_THAT(run.train.optimizer.betas, ElementsAre(0.8, 0.9));
  EXPECT_THAT(run.eval.checkpoints.names, ElementsAre("base"));
  EXPECT_EQ(dynamic_cast<ToyOptions&>(*run.model_options).mode, "icl");
}

TEST(Overrides, PathsStartAtTheWorkingFolder) {
  EXPECT_EQ(RunFile("model: plain\nrun: a\n").load({"run=b"}).run, fs::current_path() / "b");
}

TEST(Overrides, NameAnotherModel) {
  EXPECT_EQ(RunFile("model: toy\n").load({"model=plain"}).model_options, nullptr);
}

TEST(Overrides, DisplaceTheOtherOfAPair) {
  const RunConfig run = RunFile("model: plain\ntrain: {steps: 5}\n").load({"train.epochs=1.5"});
  EXPECT_FALSE(run.train.steps);
  EXPECT_EQ(run.train.epochs, 1.5);
}

TEST(Overrides, ChangeOneEntryOfAMap) {
  const RunFile file(
      "model: plain\ndata: {guards: {clipping: warn, silence: warn}}\n"
      "train: {keep: {last: 2, best: 3}}\n");
  const RunConfig one = file.load({"data.guards.clipping=off", "train.keep.last=5"});
  EXPECT_EQ(one.data.guards.at("clipping"), "off");
  EXPECT_EQ(one.data.guards.at("silence"), "warn");
  EXPECT_EQ(one.train.keep.last, 5);
  EXPECT_EQ(one.train.keep.best, 3);
  const RunConfig whole = file.load({"data.guards={clipping: off}"});
  EXPECT_EQ(whole.data.guards.size(), 1u);
}

TEST(Overrides, ErrorsNameTheFlag) {
  EXPECT_EQ(error_of("model: plain\n", {"train.setps=3"}),
            "--set train.setps=3: train.setps: unknown key; did you mean train.steps?");
  EXPECT_EQ(error_of("model: plain\n", {"train.steps=few"}),
            "--set train.steps=few: train.steps: wants a whole number or null, got `few`");
  EXPECT_EQ(error_of("model: plain\nseed: 2\n", {"seed=-1"}),
            "--set seed=-1: seed: must be at least 0, is -1");
  EXPECT_EQ(error_of("model: plain\n", {"seed"}),
            "--set seed: no key and value; write --set key.path=value");
}

// --- the file itself

TEST(LoadRunErrors, File) {
  try {
    load_run("/no/such/run.yaml", {}, test::lookup);
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), StartsWith("no such run file: /no/such/run.yaml; "));
  }
  EXPECT_THROW(load_run(::testing::TempDir(), {}, test::lookup), UsageError);
}

TEST(LoadRunErrors, Yaml) {
  EXPECT_THAT(error_of("model: toy\ntrain: {steps: 3\nseed: 1\n"),
              StartsWith("run.yaml:3: not valid YAML: "));
  EXPECT_EQ(error_of("- model\n"),
            "model: key is missing: run.yaml; `ttsft models` lists the names");
  EXPECT_EQ(error_of(""), "model: key is missing: run.yaml; `ttsft models` lists the names");
  EXPECT_EQ(error_of("[]", {"model=toy"}), "run.yaml:1: wants a map of keys, got a list");
  EXPECT_THAT(error_of("model: toy\nseed: 1\nseed: 2\n"),
              StartsWith("run.yaml:3: seed: key given twice; "));
}

TEST(LoadRunErrors, Model) {
  EXPECT_EQ(error_of("seed: 1\n"),
            "model: key is missing: run.yaml; `ttsft models` lists the names");
  EXPECT_THAT(error_of("seed: 1\nmodel: [toy]\n"),
              StartsWith("run.yaml:2: model: wants a name, got a list"));
  EXPECT_EQ(error_of("seed: 1\nmodel: toi\n"),
            "run.yaml:2: model: unknown model toi; did you mean toy?");
}

TEST(LoadRunErrors, UnknownKeys) {
  EXPECT_EQ(error_of("model: toy\ntrain:\n  setps: 3\n"),
            "run.yaml:3: train.setps: unknown key; did you mean train.steps?");
  EXPECT_EQ(error_of("model: toy\ntoy: {mdoe: icl}\n"),
            "run.yaml:2: toy.mdoe: unknown key; did you mean toy.mode?");
  EXPECT_EQ(error_of("model: toy\nlearning_rate: 1\n"),
            "run.yaml:2: learning_rate: unknown key; did you mean train.optimizer.learning_rate?");
  EXPECT_EQ(error_of("model: toy\ndropout: 0\n"),
            "run.yaml:2: dropout: unknown key; did you mean train.dropout or lora.dropout?");
  EXPECT_EQ(error_of("model: toy\ntrain: {schedule: {lr: 1}}\n"),
            "run.yaml:2: train.schedule.lr: unknown key; known here: name, warmup_steps");
}

TEST(LoadRunErrors, SectionOfAnotherModel) {
  EXPECT_EQ(
      error_of("model: plain\ntoy: {mode: icl}\n"),
      "run.yaml:2: toy: unknown key; known here: model, checkpoint, run, device, precision, seed, "
      "accept_license, data, train, lora, eval, synth");
  EXPECT_THAT(error_of("model: toy\nindextts2: {}\n"), HasSubstr("eval, synth, toy"));
}

struct TypeCase {
  const char* yaml;
  const char* error;
};

TEST(LoadRunErrors, Types) {
  for (const TypeCase& c : std::vector<TypeCase>{
           {"seed: x", "seed: wants a whole number, got `x`"},
           {"seed: 1.5", "seed: wants a whole number, got `1.5`"},
           {"seed: '1'", "seed: wants a whole number, got the text \"1\""},
           {"seed: null", "seed: wants a whole number, got null"},
           {"seed: [1]", "seed: wants a whole number, got a list"},
           {"lora: {alpha: big}", "lora.alpha: wants a number, got `big`"},
           {"lora: {alpha: .inf}", "lora.alpha: wants a number, got `.inf`"},
           {"lora: {rslora: 1}", "lora.rslora: wants true or false, got `1`"},
           {"lora: 16", "lora: wants a map of keys, got `16`"},
           {"run: {a: b}", "run: wants a path, got a map"},
           {"device: [cpu]", "device: wants a text, got a list"},
           {"precision: null", "precision: wants one of auto, fp32, bf16, got null"},
           {"train: {steps: ten}", "train.steps: wants a whole number or null, got `ten`"},
           {"train: {epochs: ten}", "train.epochs: wants a number or null, got `ten`"},
           {"eval: {lora_scales: [1, x]}", "eval.lora_scales: wants a list of numbers, got `x`"},
           {"eval: {metrics: [[a]]}", "eval.metrics: wants a list of texts, got a list"},
           {"eval: {metrics: {a: b}}", "eval.metrics: wants a list of texts, got a map"},
           {"data: {guards: [a]}", "data.guards: wants a map of texts, got a list"},
           {"data: {guards: {a: [b]}}", "data.guards: wants a map of texts, got a list"},
           {"data: {validation: null}", "data.validation: has no value"},
           {"data: {validation: 2}",
            "data.validation: wants a share in [0, 1), got 2; 0.02 holds back one clip in fifty"},
           {"train: {keep: few}", "train.keep: wants all, or {last: N, best: K}, got `few`"},
           {"train: {keep: {last: [1]}}", "train.keep: wants a map of plain values, got a list"},
           {"lora: {targets: [[q]]}", "lora.targets: wants a list of plain values, got a list"},
       }) {
    EXPECT_EQ(error_of(std::string("model: toy\n") + c.yaml + "\n"),
              std::string("run.yaml:2: ") + c.error);
  }
}

TEST(Require, NamesTheKey) {
  const RunConfig run = RunFile("model: plain\nrun: r\n").load();
  EXPECT_NO_THROW(require(run, run.run, "run"));
  try {
    require(run, run.data.prepared, "data.prepared");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_EQ(std::string(e.what()), "data.prepared: key is missing: " + run.file.string() +
                                         "; add it, or give --set data.prepared=PATH");
  }
}

}  // namespace
}  // namespace ttsft
