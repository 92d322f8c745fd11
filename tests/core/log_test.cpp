#include "ttsft/core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class Log : public ::testing::Test {
 protected:
  void TearDown() override { init_logging(/*quiet=*/true); }  // as test_main.cpp left it

  static std::string text_of(const std::filesystem::path& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
};

std::string stderr_of(const std::function<void()>& fn) {
  ::testing::internal::CaptureStderr();
  fn();
  return ::testing::internal::GetCapturedStderr();
}

void three_lines() {
  log_info("plain {} ", 1);  // braces are text
  log_warning("careful");
  log_error("broken");
}

TEST_F(Log, LinesForPeople) {
  EXPECT_EQ(stderr_of([] {
              init_logging(false);
              three_lines();
            }),
            "plain {} 1\nwarning: careful\nerror: broken\n");
}

TEST_F(Log, QuietKeepsWarnings) {
  EXPECT_EQ(stderr_of([] {
              init_logging(true);
              three_lines();
            }),
            "warning: careful\nerror: broken\n");
}

TEST_F(Log, FileTakesEveryLineAndIsAppended) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "ttsft_log_test" / "log.txt";
  std::filesystem::remove_all(file.parent_path());
  const std::string shown = stderr_of([&] {
    for (const char* line : {"first", "second"}) {
      init_logging(true);
      log_to_file(file);
      log_info(line);
    }
    log_warning("careful");
  });
  EXPECT_EQ(shown, "warning: careful\n");  // still quiet
  const std::string stamp = "[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+ ";
  EXPECT_THAT(text_of(file), ContainsRegex("^" + stamp + "info: first\n" + stamp +
                                           "info: second\n" + stamp + "warning: careful\n$"));
  std::filesystem::remove_all(file.parent_path());
}

TEST_F(Log, SecondFileTakesOver) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "ttsft_log_test_two";
  std::filesystem::remove_all(folder);
  init_logging(true);
  log_to_file(folder / "a");
  log_info("one");
  log_to_file(folder / "b");
  log_info("two");
  EXPECT_THAT(text_of(folder / "a"), Not(HasSubstr("two")));
  EXPECT_THAT(text_of(folder / "b"), HasSubstr("two"));
  std::filesystem::remove_all(folder);
}

TEST_F(Log, UnwritableFile) {
  EXPECT_THROW(log_to_file(::testing::TempDir()), RunError);  // a folder
}

}  // namespace
}  // namespace ttsft
