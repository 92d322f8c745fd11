// Methods of Python's str on UTF-8, for front ends whose upstream is written with them. The text is
// valid UTF-8.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

// White space is what str.isspace() says: Unicode's, and the separators U+001C to U+001F.
std::string_view strip(std::string_view text);
std::string_view strip_end(std::string_view text);
std::vector<std::string_view> split_words(std::string_view text);  // str.split()

// Full Unicode case mapping of no language in particular ("ß" gives "SS").
std::string upper_case(std::string_view text);
// The first character in upper case where it is lower case; nothing else changes.
std::string upper_case_first(std::string_view text);

// str.replace(); `from` is not empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// The characters in order, each with its bytes.
std::vector<std::string_view> split_characters(std::string_view text);
// Code point of the character that `text` begins with; -1 for empty text.
int32_t first_code_point(std::string_view text);

}  // namespace ttsft
