// Character-level BPE of a Hugging Face tokenizer.json: added tokens cut out, words and runs of
// punctuation, characters joined by merges. Exact to the `tokenizers` crate for this kind of file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace ttsft {

class WordBpe {
 public:
  // Model BPE with unk_token and fuse_unk false, pre-tokenizer Whitespace, nothing before or
  // behind. DataError names the file and whatever in it asks for more (a normalizer, byte fallback,
  // ...).
  static WordBpe from_file(const std::filesystem::path& tokenizer_json);
  ~WordBpe();
  WordBpe(WordBpe&&) noexcept;
  WordBpe& operator=(WordBpe&&) noexcept;

  // White space separates and is dropped. A character that the vocabulary lacks becomes one
  // unknown_id(). Thread-safe; invalid UTF-8 is a DataError.
  std::vector<int64_t> encode(std::string_view utf8) const;
  int64_t id(std::string_view token) const;  // exact token (added or not), -1 when absent
  int64_t size() const;                      // highest id + 1
  int64_t unknown_id() const;

 private:
  struct Impl;
  explicit WordBpe(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttsft
