// Byte-level BPE of the GPT-2 family: special tokens cut out, Unicode NFC, a split pattern, bytes
// as letters, merges. Exact to Hugging Face's tokenizers for Qwen2-type vocabularies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ttsft/text/split_patterns.h"

namespace ttsft {

class Bpe {
 public:
  // vocab.json, merges.txt and added_tokens_decoder of tokenizer_config.json in a folder.
  // `specials` are those that a tokenizer's class adds in code: their ids follow the highest one,
  // in order. DataError names the file.
  static Bpe from_folder(const std::filesystem::path& folder,
                         std::string_view split_pattern = kQwen2SplitPattern,
                         std::span<const std::string> specials = {});
  // A tokenizer.json: vocabulary, merges, added tokens, the split pattern, and Unicode NFC or no
  // normalisation, as the file says. DataError names what of it is not supported.
  static Bpe from_tokenizer(const std::filesystem::path& file);
  ~Bpe();
  Bpe(Bpe&&) noexcept;
  Bpe& operator=(Bpe&&) noexcept;

  std::vector<int64_t> encode(
      std::string_view utf8) const;  // thread-safe; invalid UTF-8 is a DataError
  std::string decode(std::span<const int64_t> ids) const;
  int64_t id(std::string_view token) const;  // exact token (special or not), -1 when absent
  int64_t size() const;                      // highest id + 1

 private:
  struct Impl;
  explicit Bpe(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ttsft
