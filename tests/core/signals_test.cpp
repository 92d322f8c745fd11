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

TEST(SignalsDeathTest, SecondLeavesAtOnce) {
  const auto twice = [] {
    install_signal_handlers();
    clear_stop_signal();
    std::raise(SIGTERM);
    std::raise(SIGINT);
  };
  EXPECT_EXIT(twice(), ::testing::ExitedWithCode(128 + SIGINT), "");
}

}  // namespace
}  // namespace ttsft
