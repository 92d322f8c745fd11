#include "ttsft/text/python_string.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/uchar.h>

#include <limits>

#include "ttsft/core/error.h"
#include "utf8.h"

namespace ttsft {
namespace {

bool is_python_space(int32_t code_point) {
  return is_space(code_point) || (code_point >= 0x1c && code_point <= 0x1f);
}

size_t spaces_end(std::string_view text) {
  size_t begin = 0;
  while (begin < text.size()) {
    size_t next = begin;
    if (!is_python_space(next_code_point(text, next))) break;
    begin = next;
  }
  return begin;
}

}  // namespace

std::string_view strip(std::string_view text) {
  return strip_end(text.substr(spaces_end(text)));
}

std::string_view strip_end(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t before = end;
    if (!is_python_space(previous_code_point(text, before))) break;
    end = before;
  }
  return text.substr(0, end);
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  size_t begin = 0;
  for (size_t offset = 0; offset < text.size();) {
    const size_t here = offset;
    if (!is_python_space(next_code_point(text, offset))) continue;
    if (begin < here) words.push_back(text.substr(begin, here - begin));
    begin = offset;
  }
  if (begin < text.size()) words.push_back(text.substr(begin));
  return words;
}

std::string upper_case(std::string_view text) {
  // ICU counts bytes with 32 bits; a text of 2 GiB is a mistake, not something to speak.
  if (text.size() > size_t(std::numeric_limits<int32_t>::max())) {
    throw DataError("a text is longer than 2 GiB", {}, "split it");
  }
  std::string out;
  icu::StringByteSink<std::string> sink(&out, int32_t(text.size()));
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8ToUpper("", 0, icu::StringPiece(text.data(), int32_t(text.size())), sink,
                            nullptr, status);
  if (U_FAILURE(status)) {
    throw RunError("Unicode case mapping failed", u_errorName(status),
                   "reinstall the ICU data package");
  }
  return out;
}

std::string upper_case_first(std::string_view text) {
  if (!u_isULowercase(first_code_point(text))) return std::string(text);
  size_t offset = 0;
  next_code_point(text, offset);
  return upper_case(text.substr(0, offset)).append(text.substr(offset));
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return out.append(text.substr(done));
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    next_code_point(text, offset);
    characters.push_back(text.substr(begin, offset - begin));
  }
  return characters;
}

int32_t first_code_point(std::string_view text) {
  size_t offset = 0;
  return text.empty() ? -1 : next_code_point(text, offset);
}

}  // namespace ttsft
