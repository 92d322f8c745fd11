// Written text to spoken words ("$12.50" to "twelve point five dollars") by the compiled grammars
// of WeTextProcessing.
// Source: WeTextProcessing 1.2.0, tn/processor.py and tn/token_parser.py.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ttsft {

enum class GrammarLanguage { kEnglish, kChinese };

class FstNormalizer {
 public:
  // folder: as `fsts` of the package wetext: {en,zh}/tn/{tagger,verbalizer}.fst, and for Chinese
  // {traditional_to_simple,full_to_half}.fst. Chinese keeps interjections and erhua. DataError
  // names a file that is missing or damaged.
  static FstNormalizer from_folder(const std::filesystem::path& folder, GrammarLanguage language);
  ~FstNormalizer();
  FstNormalizer(FstNormalizer&&) noexcept;
  FstNormalizer& operator=(FstNormalizer&&) noexcept;

  // None when the grammar has no reading of the text. Thread-safe.
  std::optional<std::string> normalize(std::string_view utf8) const;

 private:
  struct Impl;
  explicit FstNormalizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Where the grammars are: `wetext` in the checkpoint, else share/ttsft/wetext of an installation,
// else where tools/setup unpacks them. None when they are nowhere.
std::optional<std::filesystem::path> find_text_grammars(const std::filesystem::path& checkpoint);

// Text without digits and symbols: nothing in it has to be put into words, abbreviations aside.
bool is_plain_text(std::string_view utf8);

}  // namespace ttsft
