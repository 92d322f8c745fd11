#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/program_support.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

TEST(Config, IsARunFileThatLoadsBack) {
  const ProgramResult result = run_program({"config", "qwen3-tts"});
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* key : {"model: qwen3-tts", "data:", "train:", "lora:", "qwen3-tts:", "#"}) {
    EXPECT_THAT(result.out, HasSubstr(key));
  }
  const TemporaryFolder folder;
  const std::string file = folder.write("run.yaml", result.out);
  const ProgramResult loaded = run_program({"prep", file});
  EXPECT_EQ(loaded.code, 2);  // understood; only the paths are missing
  EXPECT_THAT(error_line(loaded), HasSubstr("checkpoint"));
}

TEST(Config, UnknownModelsGetTheNearest) {
  const ProgramResult result = run_program({"config", "qwen-tts"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(error_line(result), HasSubstr("qwen3-tts"));
}

}  // namespace
}  // namespace ttsft
