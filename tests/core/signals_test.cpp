#include "ttsft/core/signals.h"

#include <gtest/gtest.h>

#include <csignal>

namespace ttsft {
namespace {

TEST(Signals, FirstIsAFlag) {
  install_signal_handlers();
  clear_stop_signal();
  EXPECT_EQ(stop_signal(), 0);
  std::raise(SIGTERM);
  EXPECT_EQ(stop_signal(), SIGTERM);
  clear_stop_signal();
  EXPECT_EQ(stop_signal(), 0);
  std::raise(SIGINT);
  EXPECT_EQ(stop_signal(), SIGINT);
  clear_stop_signal();
}

TEST(Signals, AClosedSessionAndABatchSystemsWarningStopAsWell) {
  install_signal_handlers();
  for (const int signal : {SIGHUP, SIGUSR1}) {
    clear_stop_signal();
    std::raise(signal);
    EXPECT_EQ(stop_signal(), signal);
    // Batch systems send SIGTERM after the warning, and a closed session both: saving goes on.
    std::raise(SIGTERM);
    std::raise(signal);
    EXPECT_EQ(stop_signal(), signal);
  }
  clear_stop_signal();
}

TEST(Signals, NohupIsRespected) {
  std::signal(SIGHUP, SIG_IGN);
  install_signal_handlers();
  clear_stop_signal();
  std::raise(SIGHUP);
  EXPECT_EQ(stop_signal(), 0);
  std::signal(SIGHUP, SIG_DFL);
  install_signal_handlers();
}

TEST(SignalsDeathTest, SecondLeavesAtOnce) {
  const auto twice = [] {
    install_signal_handlers();
    clear_stop_signal();
    std::raise(SIGHUP);
    std::raise(SIGTERM);
    std::raise(SIGINT);
  };
  EXPECT_EXIT(twice(), ::testing::ExitedWithCode(128 + SIGINT), "");
}

}  // namespace
}  // namespace ttsft
