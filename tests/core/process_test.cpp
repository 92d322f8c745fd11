#include "ttsft/core/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace ttsft {
namespace {

TEST(Process, KnowsItselfAndTheDead) {
  const std::string own = process_identity();
  EXPECT_EQ(own, process_identity());
  EXPECT_EQ(state_of_process(own), ProcessState::kRuns);
  EXPECT_EQ(state_of_process(own + "-17"), ProcessState::kRuns) << "what follows does not count";

  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const std::string place = own.substr(0, own.rfind('-') + 1);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(state_of_process(place + std::to_string(child)), ProcessState::kGone);
}

TEST(Process, CannotSayAnythingOfOtherPlaces) {
  const std::string own = process_identity();
  const std::string id = own.substr(own.rfind('-'));
  for (const std::string& text : {"m000000000000" + id, std::string(), std::string("12-0"),
                                  own.substr(0, own.rfind('-') + 1), own.substr(0, 5) + id}) {
    EXPECT_EQ(state_of_process(text), ProcessState::kUnknown) << text;
  }
}

}  // namespace
}  // namespace ttsft
