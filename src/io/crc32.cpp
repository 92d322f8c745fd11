#include "crc32.h"

#include <array>

#include "little_endian.h"

namespace ttsft {
namespace {

constexpr uint32_t kPolynomial = 0xEDB88320;  // IEEE 802.3, bits reversed
constexpr size_t kSlices = 8;

using Table = std::array<uint32_t, 256>;

// tables[k][b]: what byte b adds when k more bytes follow ("slicing by 8", Kounavis and Berry
// 2005).
constexpr std::array<Table, kSlices> make_tables() {
  std::array<Table, kSlices> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < kSlices; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t value = tables[k - 1][byte];
      tables[k][byte] = (value >> 8) ^ tables[0][value & 0xFF];
    }
  }
  return tables;
}

constexpr std::array<Table, kSlices> kTables = make_tables();

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes) {
  uint32_t crc = ~uint32_t{0};
  size_t i = 0;
  for (; i + kSlices <= bytes.size(); i += kSlices) {
    const uint64_t word = load_number<uint64_t>(bytes, i) ^ crc;
    crc = 0;
    for (size_t k = 0; k < kSlices; ++k) crc ^= kTables[kSlices - 1 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; i < bytes.size(); ++i) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(bytes[i])) & 0xFF];
  }
  return ~crc;
}

}  // namespace ttsft
