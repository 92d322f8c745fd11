#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"

namespace ttsft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Models, AsJsonAndInWords) {
  const ProgramResult result = run_program({"models", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto models = nlohmann::json::parse(result.out).at("models");
  const auto& first = models.at(0);
  EXPECT_EQ(first.at("name"), "qwen3-tts");
  EXPECT_EQ(first.at("rates").at("encoder_in"), 24000);
  EXPECT_EQ(first.at("stages").at(0), "lm");
  EXPECT_EQ(first.at("license"), "Apache-2.0");
  EXPECT_EQ(first.at("commercial_use"), true);
  EXPECT_EQ(first.at("lora"), true);
  EXPECT_FALSE(first.at("paradigm").get<std::string>().empty());
  EXPECT_THAT(run_program({"models"}).out,
              AllOf(HasSubstr("qwen3-tts"), HasSubstr("24000 Hz"), HasSubstr("Apache-2.0")));
}

}  // namespace
}  // namespace ttsft
