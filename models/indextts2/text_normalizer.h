// Written text to what IndexTTS2's tokenizer was trained on: numbers in words, one kind of quote
// and comma, pinyin with its tone kept. Source: index-tts v2.0.0, indextts/utils/front.py
// (TextNormalizer).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ttsft/text/fst_normalizer.h"
#include "ttsft/text/regex.h"

namespace ttsft::indextts2 {

// Whether the Chinese rules apply: a Chinese character, no Latin letter at all, an e-mail address
// or a syllable of pinyin with its tone ("xuan4").
bool use_chinese(std::string_view text);

// "XUAN4" to "XVAN4": after j, q and x the tokenizer writes ü as v. Only these are put into
// capitals.
std::string correct_pinyin(std::string_view syllable);

// How terms are spoken, from glossary.yaml: `C++: C plus plus`, or by language
// `M.2: {en: M dot two, zh: M 二}`.
struct GlossaryTerm {
  std::string term, english, chinese;
};

// Longest term first. DataError for a value that is neither text nor a map of texts.
std::vector<GlossaryTerm> read_glossary(const std::filesystem::path& file);

class TextNormalizer {
 public:
  // grammars: none when there are none. Then text with digits or symbols is refused, and
  // abbreviations stay as they are written.
  explicit TextNormalizer(const std::optional<std::filesystem::path>& grammars,
                          std::vector<GlossaryTerm> glossary = {});

  // DataError for invalid UTF-8, and for text that needs grammars where there are none. Text that
  // the grammar cannot read is left as it is, with a warning (upstream says nothing at all then
  // where the text is Chinese).
  std::string normalize(const std::string& text) const;

 private:
  std::string with_terms(std::string text, bool chinese) const;
  std::string in_words(const std::string& text, bool chinese) const;

  std::optional<FstNormalizer> english_, chinese_;
  std::vector<std::pair<Regex, GlossaryTerm>> glossary_;
};

}  // namespace ttsft::indextts2
