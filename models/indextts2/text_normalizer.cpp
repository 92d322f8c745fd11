#include "models/indextts2/text_normalizer.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "models/indextts2/yaml.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/text/python_string.h"
#include "ttsft/text/regex.h"
#include "ttsft/text/split.h"

namespace ttsft::indextts2 {
namespace {

using Signs = std::vector<std::pair<std::string_view, std::string_view>>;

const Regex& pinyin_pattern() {
  static const Regex pattern(
      "(?i)(?<![a-z])((?:[bpmfdtnlgkhjqxzcsryw]|[zcs]h)?"
      "(?:[aeiouüv]|[ae]i|u[aio]|ao|ou|i[aue]|[uüv]e|[uvü]ang?|uai|[aeiuv]n|[aeio]ng|ia[no]|i[ao]"
      "ng)"
      "|ng|er)([1-5])");
  return pattern;
}

const Regex& name_pattern() {
  static const Regex pattern(R"([\x{4e00}-\x{9fff}]+(?:[-·—][\x{4e00}-\x{9fff}]+){1,2})");
  return pattern;
}

const Regex& term_pattern() {
  static const Regex pattern("[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+");
  return pattern;
}

// In this order at every place, so that "，，，" is three commas: "，" comes first.
const Signs& sign_map() {
  static const Signs signs = {
      {"：", ","},     {"；", ","}, {";", ","},  {"，", ","}, {"。", "."},  {"！", "!"},
      {"？", "?"},     {"\n", " "}, {"·", "-"},  {"、", ","}, {"...", "…"}, {",,,", "…"},
      {"，，，", "…"}, {"……", "…"}, {"“", "'"},  {"”", "'"},  {"\"", "'"},  {"‘", "'"},
      {"’", "'"},      {"（", "'"}, {"）", "'"}, {"(", "'"},  {")", "'"},   {"《", "'"},
      {"》", "'"},     {"【", "'"}, {"】", "'"}, {"[", "'"},  {"]", "'"},   {"—", "-"},
      {"～", "-"},     {"~", "-"},  {"「", "'"}, {"」", "'"}, {":", ","},
  };
  return signs;
}

std::string map_signs(std::string_view text, bool chinese) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (chinese && text[at] == '$') {
      out += '.';
      ++at;
      continue;
    }
    const auto sign = std::find_if(sign_map().begin(), sign_map().end(), [&](const auto& entry) {
      return text.substr(at).starts_with(entry.first);
    });
    if (sign == sign_map().end()) {
      out += text[at++];
    } else {
      out += sign->second;
      at += sign->first.size();
    }
  }
  return out;
}

// "what's" to "what is". Only the straight apostrophe, as upstream.
std::string without_contractions(std::string_view text) {
  static const Regex pattern("(?i)(what|where|who|which|how|t?here|it|s?he|that|this)'s");
  return pattern.replace(
      text, [](const Regex::Groups& groups) { return std::string(groups[1]) + " is"; });
}

// Distinct matches, the longest first, of equal length as they come. Upstream takes pinyin and
// names in the order of a hash; that differs only where one holds another.
std::vector<std::string> longest_first(const Regex& pattern, std::string_view text) {
  std::vector<std::string> found;
  for (const std::string_view match : pattern.find_all(text)) {
    if (std::find(found.begin(), found.end(), match) == found.end()) found.emplace_back(match);
  }
  std::stable_sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
    return count_characters(a) > count_characters(b);
  });
  return found;
}

// "a", "b", ... "z", "aa", ...
std::string letters(size_t number) {
  std::string text;
  for (size_t rest = number + 1; rest > 0; rest = (rest - 1) / 26) {
    text.insert(text.begin(), char('a' + (rest - 1) % 26));
  }
  return text;
}

// Hyphens of "GPT-5-nano" are no minus signs and no breaks; its digits are still read.
struct ProtectedTerms {
  explicit ProtectedTerms(std::string_view raw) : text(raw) {
    for (const std::string& term : longest_first(term_pattern(), text)) {
      text = replace_all(text, term, replace_all(term, "-", "<H>"));
      any = true;
    }
  }
  std::string restore(const std::string& spoken) const {
    static const Regex mark(R"(\s*<H>\s*)");
    return any ? mark.replace(spoken, [](const Regex::Groups&) { return "-"; }) : spoken;
  }

  std::string text;
  bool any = false;
};

// Whatever matches stands aside as <prefix_a>, <prefix_b>, ...
struct SetAside {
  SetAside(std::string_view raw, const Regex& pattern, std::string_view prefix)
      : text(raw), parts(longest_first(pattern, raw)) {
    for (size_t i = 0; i < parts.size(); ++i) {
      marks.push_back("<" + std::string(prefix) + "_" + letters(i) + ">");
      text = replace_all(text, parts[i], marks[i]);
    }
  }
  std::string restore(std::string spoken,
                      const std::function<std::string(std::string_view)>& as) const {
    for (size_t i = 0; i < parts.size(); ++i) spoken = replace_all(spoken, marks[i], as(parts[i]));
    return spoken;
  }

  std::string text;
  std::vector<std::string> parts, marks;
};

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool use_chinese(std::string_view text) {
  static const Regex chinese(R"([\x{4e00}-\x{9fff}])");
  static const Regex email(R"(^[a-zA-Z0-9]+@[a-zA-Z0-9]+\.[a-zA-Z]+$)");
  return chinese.matches(text) || std::none_of(text.begin(), text.end(), is_ascii_letter) ||
         email.matches(text) || pinyin_pattern().matches(text);
}

std::string correct_pinyin(std::string_view syllable) {
  static const Regex umlaut(R"((?i)([jqx])[uü](n|e|an)*(\d))");
  if (syllable.empty() || std::string_view("jqxJQX").find(syllable[0]) == std::string_view::npos) {
    return std::string(syllable);
  }
  return upper_case(umlaut.replace(syllable, [](const Regex::Groups& groups) {
    return std::string(groups[1]).append("v").append(groups[2]).append(groups[3]);
  }));
}

std::vector<GlossaryTerm> read_glossary(const std::filesystem::path& file) {
  const auto text_of = [&](const std::string& term, const nlohmann::ordered_json& value) {
    if (value.is_string()) return value.get<std::string>();
    throw DataError("the glossary's entry '" + term + "' is " + value.dump() + ", not text",
                    file.string(), "put it in quotes");
  };
  std::vector<GlossaryTerm> terms;
  const nlohmann::ordered_json json = read_yaml_object(file);
  for (const auto& [term, value] : json.items()) {
    if (term.empty()) throw DataError("the glossary has an empty term", file.string(), "remove it");
    if (!value.is_object()) {
      terms.push_back({term, text_of(term, value), text_of(term, value)});
      continue;
    }
    const auto spoken = [&, &term = term, &value = value](const char* language) {
      return value.contains(language) ? text_of(term, value.at(language)) : term;
    };
    terms.push_back({term, spoken("en"), spoken("zh")});
  }
  std::stable_sort(terms.begin(), terms.end(), [](const GlossaryTerm& a, const GlossaryTerm& b) {
    return count_characters(a.term) > count_characters(b.term);
  });
  return terms;
}

TextNormalizer::TextNormalizer(const std::optional<std::filesystem::path>& grammars,
                               std::vector<GlossaryTerm> glossary) {
  for (GlossaryTerm& term : glossary) {
    Regex pattern("(?i)" + escape_pattern(term.term));
    glossary_.emplace_back(std::move(pattern), std::move(term));
  }
  if (!grammars) return;
  english_ = FstNormalizer::from_folder(*grammars, GrammarLanguage::kEnglish);
  chinese_ = FstNormalizer::from_folder(*grammars, GrammarLanguage::kChinese);
}

std::string TextNormalizer::normalize(const std::string& text) const {
  if (!is_valid_utf8(text)) {
    throw DataError("text is not valid UTF-8", {}, "convert the file, e.g. iconv -t utf-8");
  }
  const bool chinese = use_chinese(text);
  const std::string plain = with_terms(without_contractions(text), chinese);
  if (!chinese) {
    const ProtectedTerms terms(plain);
    return map_signs(terms.restore(in_words(terms.text, false)), false);
  }
  const ProtectedTerms terms(strip_end(plain));
  const SetAside pinyin(terms.text, pinyin_pattern(), "pinyin");
  const SetAside names(pinyin.text, name_pattern(), "n");
  std::string spoken = in_words(names.text, true);
  spoken =
      names.restore(std::move(spoken), [](std::string_view name) { return std::string(name); });
  spoken = pinyin.restore(std::move(spoken), correct_pinyin);
  return map_signs(terms.restore(spoken), true);
}

std::string TextNormalizer::with_terms(std::string text, bool chinese) const {
  for (const auto& [pattern, term] : glossary_) {
    const std::string& spoken = chinese ? term.chinese : term.english;
    text = pattern.replace(text, [&](const Regex::Groups&) { return spoken; });
  }
  return text;
}

std::string TextNormalizer::in_words(const std::string& text, bool chinese) const {
  const auto& grammar = chinese ? chinese_ : english_;
  if (grammar) {
    if (std::optional<std::string> spoken = grammar->normalize(text)) return *std::move(spoken);
    log_warning("the text grammar cannot read \"", text, "\"; it stays as it is");
    return text;
  }
  static const Regex mark("<(?:H|(?:n|pinyin)_[a-z]+)>");
  if (is_plain_text(mark.replace(text, [](const Regex::Groups&) { return ""; }))) return text;
  throw DataError("text with digits or symbols, and no grammars to put them into words",
                  "\"" + text.substr(0, 60) + "\"",
                  "run tools/setup, which fetches them, or write the text out");
}

}  // namespace ttsft::indextts2
