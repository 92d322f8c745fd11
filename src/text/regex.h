// One compiled PCRE2 expression over UTF-8 with Unicode properties. Matching is thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace ttsft {

class Regex {
 public:
  // UsageError with the position in the pattern when it does not compile.
  explicit Regex(const std::string& pattern);

  // Calls fn(begin, end) for each match from left to right; an empty match is followed by a search
  // one character on. The text must be valid UTF-8. UsageError when the expression backtracks
  // without end on this text.
  void for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& fn) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
  std::string pattern_;
};

}  // namespace ttsft
