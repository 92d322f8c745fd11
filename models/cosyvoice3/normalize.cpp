#include "models/cosyvoice3/normalize.h"

#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>

#include "models/cosyvoice3/special_tokens.h"
#include "ttsft/core/strings.h"
#include "ttsft/text/python_string.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr int64_t kMostTokens = 80, kEnoughTokens = 60, kTooFewTokens = 20;  // of a segment

std::u32string decode(const std::string& utf8) {
  const icu::UnicodeString text = icu::UnicodeString::fromUTF8(utf8);
  std::u32string points;
  for (int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1))
    points.push_back(static_cast<char32_t>(text.char32At(i)));
  return points;
}

std::string encode(const std::u32string& points) {
  icu::UnicodeString text;
  for (const char32_t point : points) text.append(static_cast<UChar32>(point));
  std::string utf8;
  text.toUTF8String(utf8);
  return utf8;
}

bool is_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}

void replace(std::u32string& text, std::u32string_view from, std::u32string_view to) {
  for (size_t at = text.find(from); at != std::u32string::npos;
       at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// 1 to 999, with "and" behind the hundreds.
std::string below_thousand(int number) {
  static constexpr std::array kOnes = {"",        "one",     "two",       "three",    "four",
                                       "five",    "six",     "seven",     "eight",    "nine",
                                       "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                       "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static constexpr std::array kTens = {"",      "",      "twenty",  "thirty", "forty",
                                       "fifty", "sixty", "seventy", "eighty", "ninety"};
  std::string words;
  if (number >= 100) words = std::string(kOnes[static_cast<size_t>(number / 100)]) + " hundred";
  const int rest = number % 100;
  if (rest == 0) return words;
  if (!words.empty()) words += " and ";
  if (rest < 20) return words + kOnes[static_cast<size_t>(rest)];
  words += kTens[static_cast<size_t>(rest / 10)];
  if (rest % 10 != 0) words += std::string("-") + kOnes[static_cast<size_t>(rest % 10)];
  return words;
}

// Spaces stay between two ASCII characters that are none themselves.
std::u32string drop_blanks(const std::u32string& text) {
  const auto is_word = [](char32_t c) { return c < 0x80 && c != U' '; };
  std::u32string kept;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U' ' &&
        (i == 0 || i + 1 == text.size() || !is_word(text[i - 1]) || !is_word(text[i + 1])))
      continue;
    kept.push_back(text[i]);
  }
  return kept;
}

std::u32string chinese(std::u32string text) {
  replace(text, U"\n", U"");
  text = drop_blanks(text);
  replace(text, U"²", U"平方");
  replace(text, U"³", U"立方");
  replace(text, U".", U"。");
  replace(text, U" - ", U"，");
  for (const char32_t* bracket : {U"（", U"）", U"【", U"】", U"`"}) replace(text, bracket, U"");
  replace(text, U"——", U" ");
  size_t end = text.size();
  while (end > 0 && (text[end - 1] == U'，' || text[end - 1] == U',' || text[end - 1] == U'、'))
    --end;
  if (end < text.size()) text = text.substr(0, end) + U"。";
  return text;
}

std::u32string spell_numbers(const std::u32string& text) {
  std::u32string spelled;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    std::string digits;
    while (end < text.size() && is_digit(text[end])) digits += static_cast<char>(text[end++]);
    if (digits.empty()) {
      spelled.push_back(text[i++]);
      continue;
    }
    spelled += decode(number_words(digits));
    i = end;
  }
  return spelled;
}

// Runs `change` over what lies between special tokens.
std::u32string outside_tokens(const std::u32string& text, bool keep,
                              const std::function<std::u32string(const std::u32string&)>& change) {
  if (!keep) return change(text);
  static const std::vector<std::u32string> tokens = [] {
    std::vector<std::u32string> all;
    for (const std::string& token : special_tokens()) all.push_back(decode(token));
    return all;
  }();
  std::u32string result, plain;
  for (size_t i = 0; i < text.size();) {
    const std::u32string* found = nullptr;
    for (const std::u32string& token : tokens) {
      if (text.compare(i, token.size(), token) != 0) continue;
      if (!found || token.size() > found->size()) found = &token;
    }
    if (!found) {
      plain.push_back(text[i++]);
      continue;
    }
    result += change(plain) + *found;
    plain.clear();
    i += found->size();
  }
  return result + change(plain);
}

bool is_ender(char32_t c, bool in_chinese) {
  const std::u32string_view plain = U".?!;", wide = U"。？！；：、";
  return plain.find(c) != std::u32string_view::npos ||
         (in_chinese ? wide.find(c) != std::u32string_view::npos : c == U':');
}

// Pieces with their enders; an ender behind nothing is dropped.
std::vector<std::u32string> cut(std::u32string text, bool in_chinese) {
  if (!is_ender(text.back(), in_chinese)) text += in_chinese ? U'。' : U'.';
  std::vector<std::u32string> pieces;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!is_ender(text[i], in_chinese)) continue;
    if (i > start) pieces.push_back(text.substr(start, i + 1 - start));
    start = i + 1;
    const bool quoted = start < text.size() && (text[start] == U'"' || text[start] == U'”');
    if (quoted && !pieces.empty()) pieces.back().push_back(text[start++]);
  }
  return pieces;
}

std::vector<std::string> join_pieces(const std::vector<std::u32string>& pieces,
                                     const std::function<int64_t(const std::u32string&)>& length) {
  std::vector<std::u32string> segments;
  std::u32string current;
  for (const std::u32string& piece : pieces) {
    if (length(current + piece) > kMostTokens && length(current) > kEnoughTokens) {
      segments.push_back(current);
      current.clear();
    }
    current += piece;
  }
  if (!current.empty()) {
    if (!segments.empty() && length(current) < kTooFewTokens) {
      segments.back() += current;
    } else {
      segments.push_back(current);
    }
  }
  std::vector<std::string> texts;
  for (const std::u32string& segment : segments) {
    const bool says = std::any_of(segment.begin(), segment.end(), [](char32_t c) {
      const auto mask = U_GET_GC_MASK(static_cast<UChar32>(c));
      return (mask & (U_GC_P_MASK | U_GC_S_MASK)) == 0;
    });
    if (says) texts.push_back(encode(segment));
  }
  return texts;
}

}  // namespace

std::string number_words(const std::string& digits) {
  static constexpr std::array kGroups = {"",
                                         " thousand",
                                         " million",
                                         " billion",
                                         " trillion",
                                         " quadrillion",
                                         " quintillion",
                                         " sextillion",
                                         " septillion",
                                         " octillion",
                                         " nonillion",
                                         " decillion"};
  const size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) return "zero";
  const std::string number = digits.substr(first);
  if (number.size() > 3 * kGroups.size()) {
    std::vector<std::string> read;
    for (const char digit : number)
      read.push_back(digit == '0' ? "zero" : below_thousand(digit - '0'));
    return join(read, " ");
  }
  std::string words;
  size_t at = 0;
  for (size_t group = (number.size() - 1) / 3 + 1; group-- > 0;) {
    const size_t size = number.size() - at - 3 * group;
    const int value = std::stoi(number.substr(at, size));
    at += size;
    if (value == 0) continue;
    if (!words.empty()) words += group == 0 && value < 100 ? " and " : ", ";
    words += below_thousand(value) + kGroups[group];
  }
  return words;
}

std::vector<std::string> normalize_text(const std::string& text, const NormalizeOptions& options) {
  const bool marked = text.find("<|") != std::string::npos && text.find("|>") != std::string::npos;
  if (text.empty() || marked) return {text};
  std::u32string points = decode(std::string(strip(text)));
  if (points.empty()) return {};
  const bool in_chinese = std::any_of(points.begin(), points.end(),
                                      [](char32_t c) { return c >= 0x4e00 && c <= 0x9fff; });
  const auto plain = [&](const std::u32string& part) {
    return in_chinese ? chinese(part) : spell_numbers(part);
  };
  // In Chinese nothing inside a token changes; its neighbours decide over blanks.
  points =
      in_chinese ? chinese(points) : outside_tokens(points, options.keep_special_tokens, plain);
  if (points.empty()) return {};
  return join_pieces(cut(std::move(points), in_chinese), [&](const std::u32string& part) {
    if (in_chinese) return static_cast<int64_t>(part.size());
    return options.count_tokens(encode(part));
  });
}

}  // namespace ttsft::cosyvoice3
