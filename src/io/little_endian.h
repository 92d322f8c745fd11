// Numbers as they lie in files. The machine is little-endian too (checked where files are read).
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

namespace ttsft {

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian");

// The caller has checked that the bytes are there.
template <typename T>
T load_number(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
void append_number(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

}  // namespace ttsft
