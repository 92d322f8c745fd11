#include "ttsft/judge/word_errors.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "ttsft/text/fold.h"
#include "ttsft/text/python_string.h"

namespace ttsft {
namespace {

std::vector<std::string> letters_of(std::string_view text) {
  std::vector<std::string> letters;
  const std::string folded = fold_name(text);
  for (const std::string_view letter : split_characters(folded)) {
    const auto c = static_cast<unsigned char>(letter.front());
    if (letter.size() == 1 && !std::isalnum(c)) continue;
    letters.emplace_back(letter);
  }
  return letters;
}

}  // namespace

double character_error_rate(std::string_view reference, std::string_view heard) {
  const auto wanted = letters_of(reference), found = letters_of(heard);
  if (wanted.empty()) return found.empty() ? 0 : 1;
  std::vector<size_t> row(found.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= wanted.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t replaced = diagonal + (wanted[i - 1] != found[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return static_cast<double>(row.back()) / static_cast<double>(wanted.size());
}

}  // namespace ttsft
