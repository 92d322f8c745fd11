#include "utf8.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <limits>

#include "ttsft/core/error.h"
#include "ttsft/text/fold.h"
#include "ttsft/text/split.h"

namespace ttsft {
namespace {

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

// Length of the valid prefix.
size_t valid_prefix(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    size_t next = offset;
    if (next_code_point(text, next) < 0) return offset;
    offset = next;
  }
  return offset;
}

icu::StringPiece piece_of(std::string_view text) {
  // ICU counts bytes with 32 bits; a text of 2 GiB is a mistake, not something to speak.
  if (text.size() > size_t(std::numeric_limits<int32_t>::max())) {
    throw DataError("a text is longer than 2 GiB", {}, "split it");
  }
  return icu::StringPiece(text.data(), int32_t(text.size()));
}

}  // namespace

int32_t next_code_point(std::string_view text, size_t& offset) {
  UChar32 code_point = 0;
  U8_NEXT(bytes_of(text), offset, text.size(), code_point);
  return code_point;
}

int32_t previous_code_point(std::string_view text, size_t& end) {
  // ICU steps back with 32-bit offsets: give it the last four bytes only.
  const size_t begin = end > 4 ? end - 4 : 0;
  const uint8_t* bytes = bytes_of(text) + begin;
  auto offset = int32_t(end - begin);
  UChar32 code_point = 0;
  U8_PREV(bytes, 0, offset, code_point);
  end = begin + size_t(offset);
  return code_point;
}

bool is_space(int32_t code_point) {
  return u_isUWhiteSpace(code_point);
}

bool is_word(int32_t c) {
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

std::string_view trim_spaces(std::string_view text) {
  size_t first = 0;
  while (first < text.size()) {
    size_t next = first;
    if (!is_space(next_code_point(text, next))) break;
    first = next;
  }
  size_t last = text.size();
  while (last > first) {
    size_t before = last;
    if (!is_space(previous_code_point(text, before))) break;
    last = before;
  }
  return text.substr(first, last - first);
}

namespace {

using GetNormalizer = const icu::Normalizer2* (*)(UErrorCode&);

std::string normalized(std::string_view text, GetNormalizer get) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = get(status);
  std::string out;
  if (U_SUCCESS(status)) {
    icu::StringByteSink<std::string> sink(&out, int32_t(std::min<size_t>(text.size(), 1 << 20)));
    form->normalizeUTF8(0, piece_of(text), sink, nullptr, status);
  }
  if (U_FAILURE(status)) {
    throw RunError("Unicode normalisation failed", u_errorName(status),
                   "reinstall the ICU data package");
  }
  return out;
}

}  // namespace

std::string to_nfc(std::string_view text) {
  return is_ascii(text) ? std::string(text) : normalized(text, icu::Normalizer2::getNFCInstance);
}

std::string fold_name(std::string_view utf8) {
  if (!is_valid_utf8(utf8)) return std::string(utf8);
  return normalized(utf8, icu::Normalizer2::getNFKCCasefoldInstance);
}

std::string replace_invalid_utf8(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  std::string out;
  icu::UnicodeString::fromUTF8(piece_of(bytes)).toUTF8String(out);
  return out;
}

void require_valid_utf8(std::string_view text) {
  const size_t valid = valid_prefix(text);
  if (valid == text.size()) return;
  throw DataError("text is not valid UTF-8", "byte " + std::to_string(valid),
                  "convert the file, e.g. iconv -f latin1 -t utf-8");
}

int64_t count_characters(std::string_view utf8) {
  int64_t count = 0;
  for (size_t offset = 0; offset < utf8.size(); ++count) next_code_point(utf8, offset);
  return count;
}

bool is_valid_utf8(std::string_view text) {
  return valid_prefix(text) == text.size();
}

}  // namespace ttsft
