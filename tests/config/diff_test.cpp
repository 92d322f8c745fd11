#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_support.h"

namespace ttsft {
namespace {

using test::RunFile;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(DiffRuns, NamesKeysAndValues) {
  const RunFile file("model: toy\ntrain: {steps: 100}\n");
  const std::string before = dump_run(file.load());
  EXPECT_THAT(diff_runs(before, before, {}), IsEmpty());
  const std::string after = dump_run(
      file.load({"train.steps=200", "train.optimizer.betas=[0.5, 0.6]", "train.keep={last: 1}",
                 "toy.mode=icl", "synth.top_k=1", "device=cpu", "data.guards.clipping=off"}));
  EXPECT_THAT(diff_runs(before, after, {"synth", "device"}),
              ElementsAre("data.guards.clipping: (not set) -> off", "train.steps: 100 -> 200",
                          "train.optimizer.betas: [0.9, 0.999] -> [0.5, 0.6]",
                          "train.keep.last: (not set) -> 1", "train.keep.best: (not set) -> 1",
                          "toy.mode: clone -> icl", "train.keep: all -> (not set)"));
}

TEST(DiffRuns, IgnoresWholeKeysOnly) {
  EXPECT_THAT(
      diff_runs("run: 1\nrunner: 1\ntrain: {steps: 1, stepsize: 1}\n",
                "run: 2\nrunner: 2\ntrain: {steps: 2, stepsize: 2}\n", {"run", "train.steps"}),
      ElementsAre("runner: 1 -> 2", "train.stepsize: 1 -> 2"));
}

TEST(DiffRuns, ComparesValuesNotSpelling) {
  EXPECT_THAT(
      diff_runs("a: 1\nb: 1e-6\nc: [1]\nd: x\n", "a: 1.0\nb: 1.0e-06\nc:\n- 1.0\nd: \"x\"\n", {}),
      IsEmpty());
  EXPECT_THAT(diff_runs("a: null\n", "a: 0\n", {}), ElementsAre("a: null -> 0"));
}

TEST(DumpedValue, ByItsDottedKey) {
  const std::string dump = "seed: 1\ntrain: {stage: flow, optimizer: {betas: [0.9, 0.99]}}\n";
  EXPECT_EQ(dumped_value(dump, "train.stage"), "flow");
  EXPECT_EQ(dumped_value(dump, "train.optimizer.betas"), "[0.9, 0.99]");
  EXPECT_EQ(dumped_value(dump, "train.method"), std::nullopt);
  EXPECT_EQ(dumped_value(dump, "train"), std::nullopt);
}

}  // namespace
}  // namespace ttsft
