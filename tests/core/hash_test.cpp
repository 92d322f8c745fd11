#include "ttsft/core/hash.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

TEST(Hash, IsXxh3) {  // published value of XXH3_128bits for an empty input
  EXPECT_EQ(hash_text(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Hasher().hex(), hash_text(""));
}

TEST(Hash, LengthOfTextCounts) {
  EXPECT_NE(Hasher().add("a").add("b").hex(), Hasher().add("ab").add("").hex());
  EXPECT_EQ(Hasher().add("a").add("b").hex(), Hasher().add("a").add("b").hex());
}

TEST(Hash, BytesAreAStream) {
  const std::string text = "some bytes";
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(Hasher().add(bytes.first(3)).add(bytes.subspan(3)).hex(), hash_text(text));
}

TEST(Hash, FileEqualsItsText) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "ttsft_hash_test.bin";
  const std::string text(3'000'001, 'x');  // several chunks and a rest
  std::ofstream(file, std::ios::binary) << text;
  EXPECT_EQ(hash_file(file), hash_text(text));
  std::filesystem::remove(file);
}

TEST(Hash, UnreadableFileIsBadData) {
  EXPECT_THROW(hash_file("/no/such/file"), DataError);
  EXPECT_THROW(hash_file(::testing::TempDir()), DataError);  // a folder
}

TEST(HashFraction, IsUniformAndFixed) {
  int below = 0;
  for (int i = 0; i < 10000; ++i) {
    const double f = hash_fraction("utterance-" + std::to_string(i));
    ASSERT_GE(f, 0.0);
    ASSERT_LT(f, 1.0);
    below += f < 0.1;
  }
  EXPECT_NEAR(below, 1000, 100);
  // A split must not move between versions: the high half of the hash above, its top 53 bits.
  EXPECT_EQ(hash_fraction(""), static_cast<double>(0x99aa06d3014798d8ULL >> 11) / (1ULL << 53));
}

}  // namespace
}  // namespace ttsft
