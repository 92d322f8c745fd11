// The split pattern of a byte-level BPE, run by PCRE2 as Hugging Face's tokenizers run it by
// Oniguruma.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ttsft/text/regex.h"

namespace ttsft {

class BpePattern {
 public:
  explicit BpePattern(std::string_view pattern);

  // Pieces in order, together the whole text: each match is one ("isolated"), and so is what lies
  // between matches.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  Regex regex_;
};

// \s and \S written out as Unicode White_Space: PCRE2 counts U+180E in, Oniguruma does not.
std::string spell_out_spaces(std::string_view pattern);

}  // namespace ttsft
