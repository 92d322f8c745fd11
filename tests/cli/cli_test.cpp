#include "ttsft/cli/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/program_support.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Exit 2 with one line.
std::string usage_error(const std::vector<std::string>& arguments) {
  const ProgramResult result = run_program(arguments);
  EXPECT_EQ(result.code, 2) << result.err;
  return error_line(result);
}

TEST(CommandLine, NothingToDoIsAnError) {
  EXPECT_THAT(usage_error({}), AllOf(HasSubstr("no command"), HasSubstr("prep, train, eval")));
}

TEST(CommandLine, UnknownWordsGetTheNearestKnown) {
  EXPECT_THAT(usage_error({"trian", "run.yaml"}), HasSubstr("did you mean train?"));
  EXPECT_THAT(usage_error({"dance"}), HasSubstr("use one of curate, prep, train"));
  EXPECT_THAT(usage_error({"train", "run.yaml", "--dryrun"}),
              AllOf(HasSubstr("'--dryrun'"), HasSubstr("did you mean --dry-run?")));
  EXPECT_THAT(usage_error({"prep", "run.yaml", "another.yaml"}), HasSubstr("another.yaml"));
}

TEST(CommandLine, ArgumentsAreNeeded) {
  EXPECT_THAT(usage_error({"prep"}), AllOf(HasSubstr("RUN.yaml"), HasSubstr("ttsft prep --help")));
  EXPECT_THAT(usage_error({"inspect"}), HasSubstr("PATH"));
  EXPECT_THAT(usage_error({"train", "run.yaml", "--set"}), HasSubstr("--set"));
}

TEST(CommandLine, WrongRunFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(usage_error({"prep", "nowhere.yaml"}), HasSubstr("nowhere.yaml"));
  const std::string key = folder.write("key.yaml", "model: qwen3-tts\ntrain:\n  setps: 10\n");
  EXPECT_THAT(usage_error({"train", key}),
              AllOf(HasSubstr("key.yaml:3"), HasSubstr("setps"), HasSubstr("train.steps")));
  const std::string model = folder.write("model.yaml", "model: qwen3tts\n");
  EXPECT_THAT(usage_error({"eval", model}), HasSubstr("qwen3-tts"));
  const std::string bare = folder.write("bare.yaml", "model: qwen3-tts\n");
  EXPECT_THAT(usage_error({"prep", bare}), HasSubstr("checkpoint"));
  EXPECT_THAT(usage_error({"prep", bare, "--set", "data.guards.bandwith=off"}),
              HasSubstr("bandwith"));
}

TEST(CommandLine, SetReplacesAKey) {
  const TemporaryFolder folder;
  const std::string run = folder.write("run.yaml", "model: qwen3-tts\n");
  EXPECT_THAT(usage_error({"prep", run, "--set", "train.setps=3"}), HasSubstr("train.steps"));
  EXPECT_THAT(usage_error({"prep", run, "--set", "device=warp", "--set", "data.source=x"}),
              HasSubstr("warp"));
}

TEST(CommandLine, CudaWithoutADeviceIsAClearError) {
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "there is a device";
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  EXPECT_THAT(usage_error({"prep", run, "--quiet", "--set", "device=cuda"}),
              AllOf(HasSubstr("no CUDA device"), HasSubstr("device: cpu")));
}

TEST(CommandLine, HelpAndVersionGoToStdout) {
  const ProgramResult help = run_program({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* command :
       {"prep", "train", "eval", "synth", "export", "models", "inspect", "config"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
  }
  const ProgramResult synth = run_program({"synth", "--help"});
  EXPECT_EQ(synth.code, 0);
  for (const char* flag :
       {"--text", "--texts", "--out", "--checkpoint", "--lora-scale", "--greedy", "--max-frames",
        "--codes-out", "--codes-in", "--noise", "--set", "--json", "--dry-run", "--quiet"}) {
    EXPECT_THAT(synth.out, HasSubstr(flag));
  }
  const ProgramResult version = run_program({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, AllOf(StartsWith("ttsft 0."), HasSubstr("LibTorch 2.")));
  EXPECT_EQ(version.err, "");
}

}  // namespace
}  // namespace ttsft
