// Long text into pieces that a model can speak in one go.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

// Sentences by ICU's break iterator (Unicode UAX 29, English abbreviations such as "Mr." and "Dr."
// do not end one), trimmed, empty ones dropped. Line breaks end a sentence. Invalid UTF-8 is a
// DataError.
std::vector<std::string> split_sentences(std::string_view utf8);

// Pieces between matches of a regular expression (PCRE2, UTF); the match stays with the piece
// before it. An empty match (a look-behind) cuts too. Pieces are trimmed, empty ones dropped. An
// invalid expression is a UsageError with its position.
std::vector<std::string> split_by_pattern(std::string_view utf8, const std::string& pattern);

// Joins neighbouring pieces with a space (none behind Chinese or Japanese) while the result has at
// most max_characters code points; a longer single piece is broken at the last space or clause mark
// before the limit.
std::vector<std::string> pack_pieces(const std::vector<std::string>& pieces, int max_characters);

// Breaks every piece that does not fit between words, nearest its middle, until all do; a single
// character is left as it is.
std::vector<std::string> halve_pieces(const std::vector<std::string>& pieces,
                                      const std::function<bool(const std::string&)>& fits);

int64_t count_characters(std::string_view utf8);  // code points
bool is_valid_utf8(std::string_view text);

}  // namespace ttsft
