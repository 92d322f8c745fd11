#include "ttsft/core/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <new>
#include <vector>

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

std::string to_hex(const XXH128_hash_t& hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

struct Hasher::State {
  std::unique_ptr<XXH3_state_t, FreeState> xxh{XXH3_createState()};
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  if (!state_->xxh) throw std::bad_alloc();
  XXH3_128bits_reset(state_->xxh.get());
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

Hasher& Hasher::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh.get(), bytes.data(), bytes.size());
  return *this;
}

Hasher& Hasher::add(std::string_view text) {
  std::array<std::byte, 8> length;  // little endian, so that a hash means the same on every machine
  for (size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::byte>(static_cast<uint64_t>(text.size()) >> (8 * i));
  }
  add(std::span<const std::byte>(length));
  return add(std::as_bytes(std::span(text)));
}

std::string Hasher::hex() const {
  return to_hex(XXH3_128bits_digest(state_->xxh.get()));
}

std::string hash_text(std::string_view text) {
  return to_hex(XXH3_128bits(text.data(), text.size()));
}

std::string hash_file(const std::filesystem::path& file) {
  constexpr size_t kChunk = size_t{1} << 20;
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) throw DataError(fmt::format("cannot open: {}", std::strerror(errno)), file.string());
  Hasher hasher;
  std::vector<char> chunk(kChunk);
  while (in) {
    in.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    hasher.add(std::as_bytes(std::span(chunk.data(), static_cast<size_t>(in.gcount()))));
  }
  if (in.bad())
    throw DataError(fmt::format("cannot read: {}", std::strerror(errno)), file.string());
  return hasher.hex();
}

double hash_fraction(std::string_view text) {
  const uint64_t bits = XXH3_128bits(text.data(), text.size()).high64 >> 11;  // a double holds 53
  return static_cast<double>(bits) * 0x1.0p-53;
}

}  // namespace ttsft
