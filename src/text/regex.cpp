#define PCRE2_CODE_UNIT_WIDTH 8
#include "ttsft/text/regex.h"

#include <pcre2.h>

#include <array>

#include "ttsft/core/error.h"
#include "utf8.h"

namespace ttsft {
namespace {

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatchData>;

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

void Regex::Free::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free(code);
}

Regex::Regex(const std::string& pattern) : pattern_(pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  // \C would cut a code point in two.
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options,
                            &error, &offset, nullptr));
  if (!code_) {
    throw UsageError("invalid regular expression '" + pattern + "'",
                     "character " + std::to_string(offset), message_of(error));
  }
  // Without JIT (an unusual platform) pcre2_match interprets: slower, same matches.
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void Regex::scan(std::string_view text,
                 const std::function<bool(const size_t*, size_t)>& fn) const {
  const MatchData data(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t start = 0;
  while (start <= text.size()) {
    int found = pcre2_match(code_.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK,
                            data.get(), nullptr);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its stack on the heap
      found = pcre2_match(code_.get(), subject, text.size(), start,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), nullptr);
    }
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      throw UsageError("regular expression '" + pattern_ + "' failed on a text of " +
                           std::to_string(text.size()) + " bytes",
                       message_of(found), "write it without nested repeats");
    }
    const PCRE2_SIZE* ranges = pcre2_get_ovector_pointer(data.get());
    const size_t begin = ranges[0], end = ranges[1];
    if (!fn(ranges, size_t(found))) return;
    start = end;
    if (begin == end) {
      if (end >= text.size()) return;
      next_code_point(text, start);
    }
  }
}

void Regex::for_each_match(std::string_view text,
                           const std::function<void(size_t, size_t)>& fn) const {
  scan(text, [&](const size_t* ranges, size_t) {
    fn(ranges[0], ranges[1]);
    return true;
  });
}

bool Regex::matches(std::string_view text) const {
  bool any = false;
  scan(text, [&](const size_t*, size_t) {
    any = true;
    return false;
  });
  return any;
}

std::vector<std::string_view> Regex::find_all(std::string_view text) const {
  std::vector<std::string_view> found;
  for_each_match(
      text, [&](size_t begin, size_t end) { found.push_back(text.substr(begin, end - begin)); });
  return found;
}

std::string Regex::replace(std::string_view text,
                           const std::function<std::string(const Groups&)>& fn) const {
  uint32_t count = 0;
  pcre2_pattern_info(code_.get(), PCRE2_INFO_CAPTURECOUNT, &count);
  Groups groups(size_t(count) + 1);
  std::string out;
  size_t done = 0;
  scan(text, [&](const size_t* ranges, size_t known) {
    for (size_t i = 0; i < groups.size(); ++i) {
      const bool took_part = i < known && ranges[2 * i] != PCRE2_UNSET;
      groups[i] = took_part ? text.substr(ranges[2 * i], ranges[2 * i + 1] - ranges[2 * i])
                            : std::string_view();
    }
    out.append(text.substr(done, ranges[0] - done)).append(fn(groups));
    done = ranges[1];
    return true;
  });
  return out.append(text.substr(done));
}

std::string escape_pattern(std::string_view literal) {
  std::string pattern;
  for (const char c : literal) {
    const bool plain = (c & 0x80) != 0 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z');
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace ttsft
