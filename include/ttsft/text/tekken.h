// Mistral's tekken.json: byte pairs in the way of tiktoken, where any two neighbours join whose
// bytes together are an entry, the lowest rank first. Exact to mistral-common's Tekkenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace ttsft {

class Tekken {
 public:
  // DataError names the file: damaged, a split pattern that is not known, ranks with a hole. Of the
  // entries only the first default_vocab_size - default_num_special_tokens count, as in upstream.
  static Tekken from_file(const std::filesystem::path& tekken_json);
  ~Tekken();
  Tekken(Tekken&&) noexcept;
  Tekken& operator=(Tekken&&) noexcept;

  // The text as it stands: nothing is normalised, and special tokens that it spells are characters
  // like others. Thread-safe; invalid UTF-8 is a DataError.
  std::vector<int64_t> encode(std::string_view utf8) const;
  int64_t special(std::string_view token) const;  // id of "[AUDIO]"; -1 when absent
  int64_t size() const;                           // ids, the special ones included

 private:
  struct Impl;
  explicit Tekken(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttsft
