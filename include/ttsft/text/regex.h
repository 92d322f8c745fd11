// One compiled PCRE2 expression over UTF-8 with Unicode properties. Matching is thread-safe. The
// text must be valid UTF-8; a UsageError says when the expression backtracks without end on it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace ttsft {

class Regex {
 public:
  // By number, 0 is the whole match; a group that took no part is empty.
  using Groups = std::vector<std::string_view>;

  // UsageError with the position in the pattern when it does not compile.
  explicit Regex(const std::string& pattern);

  // Calls fn(begin, end) for each match from left to right; an empty match is followed by a search
  // one character on.
  void for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& fn) const;

  bool matches(std::string_view text) const;  // anywhere in the text
  std::vector<std::string_view> find_all(std::string_view text) const;
  // Each match gives way to fn(groups).
  std::string replace(std::string_view text,
                      const std::function<std::string(const Groups&)>& fn) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  // Calls fn(offsets of the groups, their number) for each match until it returns false.
  void scan(std::string_view text, const std::function<bool(const size_t*, size_t)>& fn) const;

  std::unique_ptr<pcre2_real_code_8, Free> code_;
  std::string pattern_;
};

// The pattern that matches this text alone.
std::string escape_pattern(std::string_view literal);

}  // namespace ttsft
