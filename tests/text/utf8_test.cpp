#include "src/text/utf8.h"

#include <gtest/gtest.h>

#include "ttsft/text/split.h"

namespace ttsft {
namespace {

TEST(Utf8, ValidityIsStrict) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80"));
  EXPECT_TRUE(is_valid_utf8(std::string_view("\0", 1)));
  EXPECT_FALSE(is_valid_utf8("\x80"));              // continuation alone
  EXPECT_FALSE(is_valid_utf8("\xc3"));              // cut short
  EXPECT_FALSE(is_valid_utf8("\xc1\xbf"));          // overlong
  EXPECT_FALSE(is_valid_utf8("\xed\xa0\x80"));      // surrogate
  EXPECT_FALSE(is_valid_utf8("\xf5\x80\x80\x80"));  // above U+10FFFF
}

TEST(Utf8, CountsCodePoints) {
  EXPECT_EQ(count_characters(""), 0);
  EXPECT_EQ(count_characters("a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80"), 4);
}

TEST(Utf8, WalksBothWays) {
  const std::string_view text = "a\xe4\xbd\xa0";
  size_t offset = 1;
  EXPECT_EQ(next_code_point(text, offset), 0x4f60);
  EXPECT_EQ(offset, 4u);
  EXPECT_EQ(previous_code_point(text, offset), 0x4f60);
  EXPECT_EQ(offset, 1u);
}

TEST(Utf8, TrimsUnicodeSpaces) {
  EXPECT_EQ(trim_spaces("\xe3\x80\x80 a b\xc2\xa0\n"), "a b");
  EXPECT_EQ(trim_spaces("\xe2\x80\x8b"), "\xe2\x80\x8b");
  EXPECT_EQ(trim_spaces(" \t"), "");
}

TEST(Utf8, ComposesToNfc) {
  EXPECT_EQ(to_nfc("plain"), "plain");
  EXPECT_EQ(to_nfc("e\xcc\x81"), "\xc3\xa9");
  EXPECT_EQ(to_nfc("\xe2\x84\xab"), "\xc3\x85");  // the Angstrom sign is the letter
}

TEST(Utf8, ReplacesWhatIsIllFormed) {
  EXPECT_EQ(replace_invalid_utf8("a\xf0\x9f\x98"
                                 "b"),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(replace_invalid_utf8("\xff\xfe"), "\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace ttsft
