#include "src/io/zip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "src/io/crc32.h"
#include "src/io/little_endian.h"
#include "support/temporary_folder.h"
#include "ttsft/core/error.h"
#include "ttsft/io/mapped_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string archive(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::ostringstream out;
  ZipWriter writer(out);
  for (const auto& [name, content] : entries) writer.add(name, bytes_of(content));
  writer.finish();
  return out.str();
}

std::string error_of(const std::string& file) {
  return message_of<DataError>([&] { read_zip(bytes_of(file), "x.pt"); });
}

TEST(Crc32, KnownValues) {
  EXPECT_EQ(crc32({}), 0u);
  EXPECT_EQ(crc32(bytes_of("123456789")), 0xCBF43926u);
  EXPECT_EQ(crc32(bytes_of("The quick brown fox jumps over the lazy dog")), 0x414FA339u);
}

TEST(Zip, YieldsWhatWasAddedAtAlignedPlaces) {
  const std::string file =
      archive({{"x/a", "one"}, {"x/empty", ""}, {"x/b", std::string(100, 'b')}});
  EXPECT_TRUE(is_zip(bytes_of(file)));
  const auto entries = read_zip(bytes_of(file), "x.pt");
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "x/a");
  EXPECT_EQ(text_of(entries[0].bytes), "one");
  EXPECT_TRUE(entries[1].bytes.empty());
  EXPECT_EQ(text_of(entries[2].bytes), std::string(100, 'b'));
  for (const ZipEntry& entry : entries) {
    EXPECT_EQ((entry.bytes.data() - bytes_of(file).data()) % 64, 0);
  }
  EXPECT_TRUE(read_zip(bytes_of(archive({})), "x.pt").empty());
}

TEST(Zip, AnArchiveMayHaveAComment) {
  std::string file = archive({{"a", "one"}}) + "about";
  const uint16_t length = 5;
  std::memcpy(&file[file.size() - 7], &length, 2);
  EXPECT_EQ(read_zip(bytes_of(file), "x.pt").size(), 1u);
}

// An entry of more than 4 GB and one behind it, in a file with holes.
TEST(Zip, ReadsZip64) {
  const TemporaryFolder folder;
  const std::string part = archive({{"big", ""}, {"after", "behind four gigabytes"}});
  const auto entries = read_zip(bytes_of(part), "part");
  const auto second = static_cast<size_t>(part.find("PK\x03\x04", 4));
  const auto directory = static_cast<size_t>(part.find("PK\x01\x02"));
  const uint64_t size = (uint64_t{4} << 30) + 77;
  const uint64_t moved = second + size;  // where the second local header is now
  const auto field = [](std::initializer_list<uint64_t> values) {
    std::string bytes;
    append_number(bytes, uint16_t{1});
    append_number(bytes, static_cast<uint16_t>(8 * values.size()));
    for (const uint64_t value : values) append_number(bytes, value);
    return bytes;
  };
  const auto record = [&](const std::string& name, size_t from, const std::string& extra,
                          bool large, bool far) {
    std::string bytes = part.substr(from, 46);
    const uint32_t full = UINT32_MAX;
    const auto length = static_cast<uint16_t>(extra.size());
    std::memcpy(&bytes[30], &length, 2);
    if (large) std::memcpy(&bytes[20], &full, 4);
    if (large) std::memcpy(&bytes[24], &full, 4);
    if (far) std::memcpy(&bytes[42], &full, 4);
    return bytes + name + extra;
  };
  std::string records = record("big", directory, field({size, size}), true, false);
  records += record("after", part.find("PK\x01\x02", directory + 4), field({moved}), false, true);
  const uint64_t begin = directory + size;
  std::string end = part.substr(part.find("PK\x06\x06"));
  const uint64_t length = records.size(), end64 = begin + length;
  std::memcpy(&end[40], &length, 8);
  std::memcpy(&end[48], &begin, 8);
  std::memcpy(&end[56 + 8], &end64, 8);

  const fs::path file = folder.write("big.zip", part.substr(0, second));
  fs::resize_file(file, moved);
  std::ofstream(file, std::ios::binary | std::ios::app)
      << part.substr(second, directory - second) << records << end;
  const MappedFile mapped(file);
  const auto found = read_zip(mapped.bytes(), "big.zip");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].bytes.size(), size);
  EXPECT_EQ(text_of(found[1].bytes), "behind four gigabytes");
  EXPECT_EQ(entries[1].bytes.size(), found[1].bytes.size());
}

TEST(Zip, RefusesWhatIsDamaged) {
  const std::string good = archive({{"a", "one"}, {"b", "two"}});
  const auto with = [&](size_t at, auto value) {
    std::string file = good;
    std::memcpy(&file[at], &value, sizeof(value));
    return file;
  };
  const size_t directory = good.find("PK\x01\x02");
  const size_t end64 = good.find("PK\x06\x06");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {good.substr(0, good.size() - 1), "cut off"},
      {"PK\x03\x04", "cut off"},
      {with(end64, uint32_t{0}), "zip64 record"},
      {with(end64 + 56 + 8, uint64_t{1} << 60), "zip64 record"},
      {with(end64 + 48, uint64_t{1} << 63), "outside the file"},
      {with(end64 + 40, UINT64_MAX), "outside the file"},
      {with(end64 + 32, uint64_t{1} << 62), "too short for its entries"},
      {with(directory, uint32_t{0}), "directory is damaged"},
      {with(directory + 28, uint16_t{60000}), "directory is damaged"},
      {with(directory + 8, uint16_t{1}), "entry a of the zip archive is encrypted"},
      {with(directory + 10, uint16_t{8}), "entry a of the zip archive is compressed"},
      {with(directory + 20, uint32_t{2}), "two sizes"},
      {with(directory + 42, uint32_t{3}), "not where the directory places it"},
      {with(directory + 42, uint32_t{UINT32_MAX}), "not where the directory places it"},
      {with(26, uint16_t{65535}), "leaves the file"},
      {archive({{"a", "one"}, {"a", "two"}}), "entry a stands twice"}};
  for (const auto& [file, reason] : cases) {
    EXPECT_THAT(error_of(file), AllOf(HasSubstr(reason), HasSubstr("x.pt")));
  }
  EXPECT_FALSE(is_zip(bytes_of("PK")));
}

}  // namespace
}  // namespace ttsft
