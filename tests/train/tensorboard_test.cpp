#include "src/train/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/temporary_folder.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

uint32_t unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xA282EAD8U;
  return (rotated >> 17) | (rotated << 15);
}

template <class T>
T read_at(const std::string& text, size_t offset) {
  T value;
  std::memcpy(&value, text.data() + offset, sizeof(T));
  return value;
}

// The events of the one file in a folder, checksums verified.
std::vector<std::string> read_events(const std::filesystem::path& folder) {
  const auto file = std::filesystem::directory_iterator(folder)->path();
  EXPECT_EQ(file.filename().string().rfind("events.out.tfevents.", 0), 0U);
  const std::string text = read_text(file);
  std::vector<std::string> events;
  for (size_t at = 0; at < text.size();) {
    const auto length = read_at<uint64_t>(text, at);
    EXPECT_EQ(unmask(read_at<uint32_t>(text, at + 8)), crc32c(text.substr(at, 8)));
    events.push_back(text.substr(at + 12, length));
    EXPECT_EQ(unmask(read_at<uint32_t>(text, at + 12 + length)), crc32c(events.back()));
    at += 16 + length;
  }
  return events;
}

TEST(Crc32c, KnowsTheCheckValues) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
}

TEST(EventFile, HoldsVersionStartAndScalars) {
  const TemporaryFolder folder;
  EventFile(folder / "tb", 7).scalars(300, {{"train/loss", 1.5}});
  const auto events = read_events(folder / "tb");
  ASSERT_EQ(events.size(), 3U);
  // wall_time (field 1, double), then step (field 2, varint).
  EXPECT_EQ(events[0].substr(9), std::string("\x10\x00\x1A\x0D", 4) + "brain.Event:2");
  EXPECT_EQ(events[1].substr(9), std::string("\x10\x07\x3A\x02\x08\x01", 6));
  EXPECT_EQ(events[2].substr(9), std::string("\x10\xAC\x02\x2A\x13\x0A\x11\x0A\x0A", 9) +
                                     "train/loss" + std::string("\x15\x00\x00\xC0\x3F", 5));
  EXPECT_GT(read_at<double>(events[2], 1), 1.6e9);
}

}  // namespace
}  // namespace ttsft
