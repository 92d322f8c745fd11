#include "ttsft/data/text_guards.h"

#include <algorithm>
#include <cstdio>

#include "ttsft/core/strings.h"
#include "ttsft/text/python_string.h"

namespace ttsft {
namespace {

constexpr double kSyllables = 3;  // letters of a language with an alphabet in one ideograph

// Characters that nobody sees: controls, zero-width and direction marks, the byte order mark, what
// stands for a character that was lost.
const Regex& control() {
  static const Regex expression(
      "[\\x{00}-\\x{08}\\x{0B}-\\x{1F}\\x{7F}-\\x{9F}\\x{AD}\\x{200B}-\\x{200F}\\x{202A}-\\x{202E}"
      "\\x{2060}-\\x{2069}\\x{FEFF}\\x{FFF9}-\\x{FFFD}\\x{E0000}-\\x{E007F}]");
  return expression;
}

struct Markup {
  const char* what;
  Regex expression;
};

// What other tools write into texts. Plain brackets that hold more than a few words are prose.
const std::vector<Markup>& markup() {
  static const std::vector<Markup> all = [] {
    std::vector<Markup> list;
    const auto add = [&](const char* what, const char* expression) {
      list.push_back({what, Regex(expression)});
    };
    add("a tag", "</?[A-Za-z|!?][^<>\\n]{0,80}>");
    add("an entity", "&(?:[A-Za-z]{2,8}|#\\d{1,6}|#x[0-9A-Fa-f]{1,6});");
    add("an address", "(?i)\\b(?:https?://|www\\.)\\S+");
    add("emphasis",
        "\\*{1,3}[^*\\s][^*\\n]*\\*{1,3}|(?<!\\w)__?[^_\\s][^_\\n]*__?(?!\\w)|`[^`\\n]+`");
    add("a link", "\\[[^\\[\\]\\n]+\\]\\([^()\\s]+\\)");
    add("a heading", "^\\s*#{1,6}\\s");
    add("a style", "\\{[^{}\\n]{1,60}\\}");
    add("a mark in brackets", "\\[[^\\[\\]\\n]{1,40}\\]");
    return list;
  }();
  return all;
}

const Regex& spoken() {
  static const Regex expression("[\\p{L}\\p{N}]");
  return expression;
}

const Regex& ideograph() {
  // A mark of CJK belongs to these scripts too.
  static const Regex expression("(?=\\p{L})[\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Hangul}]");
  return expression;
}

std::string code_point(std::string_view character) {
  char text[16];
  std::snprintf(text, sizeof text, "U+%04X", static_cast<unsigned>(first_code_point(character)));
  return text;
}

std::string control_in(const std::string& text) {
  const auto found = control().find_all(text);
  if (found.empty()) return {};
  return "invisible characters (" + code_point(found.front()) +
         (found.size() > 1 ? " and others" : "") + "): remove them";
}

std::string markup_in(const std::string& text) {
  for (const Markup& one : markup()) {
    const auto found = one.expression.find_all(text);
    if (!found.empty())
      return std::string(one.what) +
             " in the text, which would be read aloud: " + std::string(found.front().substr(0, 60));
  }
  return {};
}

}  // namespace

TextGuards::TextGuards(const std::vector<std::string>& own_markup) {
  if (!own_markup.empty()) own_ = std::make_unique<Regex>("(?:" + join(own_markup, ")|(?:") + ")");
}

std::vector<Finding> TextGuards::check(const std::string& text, const GuardPolicy& policy) const {
  std::vector<Finding> findings;
  const auto add = [&](const char* guard, const std::string& message) {
    if (!message.empty() && policy.action(guard) != GuardAction::kOff)
      findings.push_back({guard, policy.action(guard), message});
  };
  if (!spoken().matches(text)) add("text_unspoken", "nothing in the text can be pronounced");
  add("text_control", control_in(text));
  const std::string rest =
      own_ ? own_->replace(text, [](const auto&) { return std::string(); }) : text;
  add("text_markup", markup_in(rest));
  std::stable_partition(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.action == GuardAction::kRefuse;
  });
  return findings;
}

double spoken_length(const std::string& text) {
  const auto letters = static_cast<double>(spoken().find_all(text).size());
  return letters + (kSyllables - 1) * static_cast<double>(ideograph().find_all(text).size());
}

}  // namespace ttsft
