// Content hashes (XXH3, 128 bit) for prepared data: fast, not for security.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ttsft {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  Hasher& add(std::span<const std::byte> bytes);
  Hasher& add(std::string_view text);  // length first, so that ("a","b") and ("ab","") differ
  std::string hex() const;             // 32 lower-case hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_text(std::string_view text);
std::string hash_file(
    const std::filesystem::path& file);  // throws DataError when it cannot be read

// A number in [0, 1) that depends on the text alone: the validation split, and nothing else, hangs
// on it.
double hash_fraction(std::string_view text);

}  // namespace ttsft
