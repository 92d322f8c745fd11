#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

TEST(ExportCommand, WritesACheckpointThatInspectKnows) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "adapter");
  const fs::path expected = qwen3_fixtures() / "expected";
  fs::copy(expected / "adapter_config.json", folder / "adapter/adapter_config.json");
  fs::copy(expected / "adapter_init.safetensors", folder / "adapter/adapter_model.safetensors");
  const std::string run = write_run_file(folder, "audio/metadata.csv");
  const fs::path out = folder / "out";
  const std::vector<std::string> arguments = {
      "export", run, "--checkpoint", folder / "adapter", "--lora-scale", "0.5",
      "--out",  out, "--json",       "--quiet"};
  std::vector<std::string> dry = arguments;
  dry.push_back("--dry-run");
  const ProgramResult plan = run_program(dry);
  ASSERT_EQ(plan.code, 0) << plan.err;
  EXPECT_FALSE(fs::exists(out));
  const ProgramResult result = run_program(arguments);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(json::parse(result.out).at("lora_scale"), 0.5);
  const ProgramResult found = run_program({"inspect", out, "--json"});
  ASSERT_EQ(found.code, 0) << found.err;
  EXPECT_EQ(json::parse(found.out).at("kind"), "checkpoint");
  const ProgramResult again = run_program(arguments);
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(error_line(again), HasSubstr("out"));
}

TEST(ExportCommand, NeedsAPlace) {
  const ProgramResult result = run_program({"export", "run.yaml"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(error_line(result), HasSubstr("--out"));
}

}  // namespace
}  // namespace ttsft
