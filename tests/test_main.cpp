#include <gtest/gtest.h>

#include "ttsft/core/log.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ttsft::init_logging(/*quiet=*/true);
  return RUN_ALL_TESTS();
}
