#include "ttsft/io/wire.h"

#include <cstring>
#include <stdexcept>

namespace ttsft {
namespace {

constexpr uint32_t kVarint = 0, kEightBytes = 1, kBytes = 2, kFourBytes = 5;

[[noreturn]] void damaged(const char* what) {
  throw std::runtime_error(what);
}

}  // namespace

uint64_t WireReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(take(1).front());
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  damaged("an integer of more than ten bytes");
}

std::span<const std::byte> WireReader::take(uint64_t count) {
  if (count > rest_.size()) damaged("a field ends behind its message");
  const auto taken = rest_.first(static_cast<size_t>(count));
  rest_ = rest_.subspan(taken.size());
  return taken;
}

bool WireReader::next() {
  if (rest_.empty()) return false;
  const uint64_t tag = varint();
  field_ = static_cast<uint32_t>(tag >> 3);
  kind_ = static_cast<uint32_t>(tag & 7);
  if (field_ == 0) damaged("a field of number 0");
  number_ = 0;
  bytes_ = {};
  switch (kind_) {
    case kVarint:
      number_ = varint();
      break;
    case kEightBytes:
      std::memcpy(&number_, take(8).data(), 8);
      break;
    case kFourBytes:
      std::memcpy(&number_, take(4).data(), 4);
      break;
    case kBytes:
      bytes_ = take(varint());
      break;
    default:
      damaged("a field of an unknown kind");
  }
  return true;
}

float WireReader::as_float() const {
  const auto bits = static_cast<uint32_t>(number_);
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::string WireReader::text() const {
  return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
}

std::vector<int64_t> packed_integers(std::span<const std::byte> bytes) {
  std::vector<int64_t> values;
  uint64_t value = 0;
  int shift = 0;
  for (const std::byte byte : bytes) {
    if (shift > 63) damaged("an integer of more than ten bytes");
    value |= static_cast<uint64_t>(static_cast<uint8_t>(byte) & 0x7f) << shift;
    shift += 7;
    if ((static_cast<uint8_t>(byte) & 0x80) != 0) continue;
    values.push_back(static_cast<int64_t>(value));
    value = 0;
    shift = 0;
  }
  if (shift != 0) damaged("an integer without an end");
  return values;
}

void WireWriter::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) data_ += static_cast<char>(0x80 | (value & 0x7f));
  data_ += static_cast<char>(value);
}

void WireWriter::integer(uint32_t field, uint64_t value) {
  varint(field << 3 | kVarint);
  varint(value);
}

void WireWriter::packed(uint32_t field, std::span<const int64_t> values) {
  WireWriter list;
  for (const int64_t value : values) list.varint(static_cast<uint64_t>(value));
  if (!values.empty()) message(field, list);
}

void WireWriter::bytes(uint32_t field, std::string_view value) {
  varint(field << 3 | kBytes);
  varint(value.size());
  data_ += value;
}

}  // namespace ttsft
