#include "ttsft/io/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace ttsft {
namespace {

std::span<const std::byte> bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

TEST(Wire, WhatIsWrittenIsRead) {
  WireWriter inner, outer;
  inner.bytes(3, "deep");
  outer.integer(1, 300);
  outer.integer(2, ~uint64_t{0});  // -1
  outer.bytes(15, std::string(200, 'x'));
  outer.message(16, inner);
  WireReader reader(bytes(outer.data()));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 1u);
  EXPECT_EQ(reader.number(), 300u);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(static_cast<int64_t>(reader.number()), -1);
  ASSERT_TRUE(reader.next());
  EXPECT_TRUE(reader.is_bytes());
  EXPECT_EQ(reader.text(), std::string(200, 'x'));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.field(), 16u);
  WireReader below(reader.bytes());
  ASSERT_TRUE(below.next());
  EXPECT_EQ(below.text(), "deep");
  EXPECT_FALSE(below.next());
  EXPECT_FALSE(reader.next());
}

// As protobuf's own documentation writes them out.
TEST(Wire, KnownBytes) {
  WireWriter writer;
  writer.integer(1, 150);
  writer.bytes(2, "testing");
  EXPECT_EQ(writer.data(), std::string("\x08\x96\x01\x12\x07testing", 12));
  EXPECT_THAT(packed_integers(bytes("\x03\x8e\x02\x9e\xa7\x05")),
              testing::ElementsAre(3, 270, 86942));
  const std::string numbers("\x0d\x00\x00\x80\x3f\x11\x07\x00\x00\x00\x00\x00\x00\x00", 14);
  WireReader reader(bytes(numbers));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.as_float(), 1.0f);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.number(), 7u);
}

TEST(Wire, PackedIntegersAreReadBack) {
  const std::vector<int64_t> values = {0, 127, 128, 4095, 155773};
  WireWriter writer;
  writer.packed(1, values);
  writer.packed(2, {});
  WireReader reader(bytes(writer.data()));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(packed_integers(reader.bytes()), values);
  EXPECT_FALSE(reader.next()) << "an empty list is not written, as proto3 has it";
}

TEST(Wire, DamageIsNoticed) {
  const auto read = [](const std::string& text) {
    for (WireReader reader(bytes(text)); reader.next();) continue;
  };
  EXPECT_THROW(read("\x12\x07test"), std::runtime_error);                    // ends too soon
  EXPECT_THROW(read("\x08\x96"), std::runtime_error);                        // no end
  EXPECT_THROW(read("\x0b"), std::runtime_error);                            // a group
  EXPECT_THROW(read(std::string("\0\0", 2)), std::runtime_error);            // field 0
  EXPECT_THROW(read("\x08" + std::string(11, '\xff')), std::runtime_error);  // too long
  EXPECT_THROW(packed_integers(bytes("\x80")), std::runtime_error);
  EXPECT_THROW(packed_integers(bytes(std::string(12, '\xff'))), std::runtime_error);
}

}  // namespace
}  // namespace ttsft
