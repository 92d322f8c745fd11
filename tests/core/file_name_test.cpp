#include "ttsft/core/file_name.h"

#include <gtest/gtest.h>

namespace ttsft {
namespace {

TEST(FileName, PlainNamesStay) {
  EXPECT_EQ(file_name_of("LJ001-0001"), "LJ001-0001");
  EXPECT_EQ(file_name_of("a_b.c"), "a_b.c");
  EXPECT_EQ(file_name_of("größe"), "größe");
}

TEST(FileName, OthersAreEscapedAndStayApart) {
  EXPECT_EQ(file_name_of("spk/1"), "spk%2F1");
  EXPECT_EQ(file_name_of("../x"), "%2E.%2Fx");
  EXPECT_EQ(file_name_of("a b"), "a%20b");
  EXPECT_NE(file_name_of("a%20b"), file_name_of("a b"));
}

}  // namespace
}  // namespace ttsft
