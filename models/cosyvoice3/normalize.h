// Text as CosyVoice 3 speaks it where no grammar is installed: numbers in words, Chinese
// punctuation, segments of a length that it was trained on. Upstream: cosyvoice/cli/frontend.py
// (text_normalize) and utils/frontend_utils.py.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ttsft::cosyvoice3 {

// A number as inflect writes it: "1234" -> "one thousand, two hundred and thirty-four". Digits
// only; leading zeros do not count. What has more than 36 digits is read digit by digit.
std::string number_words(const std::string& digits);

struct NormalizeOptions {
  // Tokens of the text that are no words (special_tokens()) stay as they are. Upstream spells the
  // digits inside them: "[AA1]" becomes "[AAone]", which is no phoneme any more.
  bool keep_special_tokens = true;
  // Of a text in tokens, for segments in other languages than Chinese, which count characters.
  std::function<int64_t(const std::string&)> count_tokens;
};

// The segments of a text, in order. A text that is empty or holds "<|" and "|>" is one segment, as
// it stands.
std::vector<std::string> normalize_text(const std::string& text, const NormalizeOptions& options);

}  // namespace ttsft::cosyvoice3
