#include "bpe_pattern.h"

#include "ttsft/core/error.h"

namespace ttsft {
namespace {

constexpr std::string_view kSpaces = R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a})"
                                     R"(\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

}  // namespace

std::string spell_out_spaces(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '\\' || i + 1 == pattern.size()) {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      out += in_class ? std::string(kSpaces) : "[" + std::string(kSpaces) + "]";
    } else if (escaped == 'S' && in_class) {
      throw UsageError("\\S inside a character class of a split pattern is not supported",
                       std::string(pattern), "write [^\\s...] instead");
    } else if (escaped == 'S') {
      out += "[^" + std::string(kSpaces) + "]";
    } else {
      out += c;
      out += escaped;
    }
  }
  return out;
}

BpePattern::BpePattern(std::string_view pattern) : regex_(spell_out_spaces(pattern)) {}

std::vector<std::string_view> BpePattern::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  size_t done = 0;
  const auto add = [&](size_t begin, size_t end) {
    if (begin < end) pieces.push_back(text.substr(begin, end - begin));
  };
  regex_.for_each_match(text, [&](size_t begin, size_t end) {
    add(done, begin);
    add(begin, end);
    done = end;
  });
  add(done, text.size());
  return pieces;
}

}  // namespace ttsft
