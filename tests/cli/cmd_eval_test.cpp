#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"

namespace ttsft {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(EvalCommand, MeasuresTheBaseBeforeAnyTraining) {
  const TemporaryFolder folder;
  const std::string run = write_run_file(folder, "expected/prep_out.jsonl");
  const ProgramResult early = run_program({"eval", run, "--quiet"});
  EXPECT_EQ(early.code, 3);
  EXPECT_THAT(error_line(early), HasSubstr("run prep first"));
  const ProgramResult prep = run_program({"prep", run, "--quiet"}, qwen3_fixtures());
  ASSERT_EQ(prep.code, 0) << prep.err;

  const ProgramResult plan = run_program({"eval", run, "--dry-run", "--json", "--quiet"});
  ASSERT_EQ(plan.code, 0) << plan.err;
  EXPECT_EQ(json::parse(plan.out).at("dry_run"), true);
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));

  const ProgramResult result = run_program({"eval", run, "--json", "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json row = json::parse(result.out).at("checkpoints").at(0);
  EXPECT_EQ(row.at("name"), "base");
  EXPECT_EQ(row.at("utterances").size(), 3u);
}

}  // namespace
}  // namespace ttsft
