// UTF-8 seen one code point at a time, for the text area alone. Callers have checked validity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ttsft {

// Code point that starts at text[offset]; offset moves behind it. Invalid bytes yield -1, one step
// at a time.
int32_t next_code_point(std::string_view text, size_t& offset);

// Code point that ends at text[end - 1]; end moves to its first byte.
int32_t previous_code_point(std::string_view text, size_t& end);

// Unicode White_Space: what \s means to Rust's regex crate and to Oniguruma (U+180E and U+200B are
// not in it).
bool is_space(int32_t code_point);

// \w of Unicode (UTS 18): letters, marks, decimal digits, connectors, joiners.
bool is_word(int32_t code_point);

std::string_view trim_spaces(std::string_view text);  // White_Space at both ends

// Canonical composition (NFC). Text that is ASCII comes back as it is.
std::string to_nfc(std::string_view text);

// Ill-formed sequences become U+FFFD, as Rust's from_utf8_lossy and the WHATWG decoder do.
std::string replace_invalid_utf8(std::string_view bytes);

// DataError with the offset of the first bad byte.
void require_valid_utf8(std::string_view text);

}  // namespace ttsft
