#include "ttsft/text/split.h"

#include <unicode/brkiter.h>
#include <unicode/filteredbrk.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>

#include <memory>

#include "ttsft/core/error.h"
#include "ttsft/text/regex.h"
#include "utf8.h"

namespace ttsft {
namespace {

void check(UErrorCode status, const char* what) {
  if (U_SUCCESS(status)) return;
  throw RunError(what, u_errorName(status), "reinstall the ICU data package");
}

// Titles that stand before a name. CLDR's English list has "Mr." and "Mrs." and lacks these.
constexpr const char* kTitles[] = {"Dr.",   "Prof.", "Rev.", "Hon.", "St.",     "Gen.", "Col.",
                                   "Capt.", "Lt.",   "Sgt.", "Maj.", "Messrs.", "Mme.", "Mlle.",
                                   "Fr.",   "Sen.",  "Rep.", "Gov.", "Pres.",   "Ms."};

// Sentence breaks without those behind abbreviations: the plain rules of UAX 29 end a sentence at
// "Mr. Bennet". English abbreviations do no harm to other languages.
std::unique_ptr<icu::BreakIterator> make_sentence_iterator() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Locale english = icu::Locale::getEnglish();
  std::unique_ptr<icu::BreakIterator> plain(
      icu::BreakIterator::createSentenceInstance(english, status));
  check(status, "no sentence rules in ICU");
  const std::unique_ptr<icu::FilteredBreakIteratorBuilder> builder(
      icu::FilteredBreakIteratorBuilder::createInstance(english, status));
  check(status, "no list of abbreviations in ICU");
  for (const char* title : kTitles) {
    builder->suppressBreakAfter(icu::UnicodeString::fromUTF8(title), status);
  }
  std::unique_ptr<icu::BreakIterator> filtered(builder->build(plain.release(), status));
  check(status, "no list of abbreviations in ICU");
  return filtered;
}

// Building one costs about a millisecond, cloning a microsecond; an iterator itself is not
// thread-safe.
std::unique_ptr<icu::BreakIterator> sentence_iterator() {
  static const std::unique_ptr<icu::BreakIterator> prototype = make_sentence_iterator();
  return std::unique_ptr<icu::BreakIterator>(prototype->clone());
}

void add_trimmed(std::vector<std::string>& pieces, std::string_view text) {
  const std::string_view trimmed = trim_spaces(text);
  if (!trimmed.empty()) pieces.emplace_back(trimmed);
}

// Chinese and Japanese are written without spaces; Korean is not.
bool needs_space_after(const std::string& text) {
  size_t end = text.size();
  const UChar32 last = previous_code_point(text, end);
  const int width = u_getIntPropertyValue(last, UCHAR_EAST_ASIAN_WIDTH);
  if (width != U_EA_WIDE && width != U_EA_FULLWIDTH) return true;
  UErrorCode status = U_ZERO_ERROR;
  return uscript_getScript(last, &status) == USCRIPT_HANGUL;
}

bool is_wide_clause_mark(UChar32 c) {
  return c == 0x3001 || c == 0x3002 || c == 0xff0c || c == 0xff1b || c == 0xff1a || c == 0xff01 ||
         c == 0xff1f || c == 0x2026 || c == 0x2014;
}

bool is_closing(UChar32 c) {
  const int8_t type = u_charType(c);
  return type == U_END_PUNCTUATION || type == U_FINAL_PUNCTUATION || c == '"' || c == '\'';
}

// End of the longest head of `text` with at most `limit` code points: behind the last space or
// clause mark in reach, else at a grapheme border, else at the limit. A comma inside a number
// ("1,000") is no place to break.
size_t break_position(std::string_view text, int64_t limit) {
  size_t offset = 0, best = 0;
  bool behind_mark = false;  // a closing quote or bracket goes with the mark before it
  for (int64_t count = 0; count < limit && offset < text.size(); ++count) {
    const size_t begin = offset;
    const UChar32 c = next_code_point(text, offset);
    size_t peek = offset;
    const UChar32 after = peek < text.size() ? next_code_point(text, peek) : ' ';
    if (is_space(c)) best = begin;
    behind_mark = is_wide_clause_mark(c) || (behind_mark && is_closing(c));
    if (behind_mark && !is_wide_clause_mark(after) && !is_closing(after)) best = offset;
    if (is_space(after) && offset < text.size()) best = offset;
  }
  if (best > 0) return best;
  // One long word: keep a base letter and its combining marks together.
  size_t end = offset;
  while (end > 0 && end < text.size()) {
    size_t peek = end;
    if (!u_hasBinaryProperty(next_code_point(text, peek), UCHAR_GRAPHEME_EXTEND)) return end;
    previous_code_point(text, end);
  }
  return offset;
}

}  // namespace

std::vector<std::string> split_sentences(std::string_view utf8) {
  require_valid_utf8(utf8);
  const icu::UnicodeString text =
      icu::UnicodeString::fromUTF8(icu::StringPiece(utf8.data(), int32_t(utf8.size())));
  const auto iterator = sentence_iterator();
  iterator->setText(text);
  std::vector<std::string> sentences;
  int32_t begin = iterator->first();
  for (int32_t end = iterator->next(); end != icu::BreakIterator::DONE; end = iterator->next()) {
    std::string sentence;
    text.tempSubStringBetween(begin, end).toUTF8String(sentence);
    add_trimmed(sentences, sentence);
    begin = end;
  }
  return sentences;
}

std::vector<std::string> split_by_pattern(std::string_view utf8, const std::string& pattern) {
  require_valid_utf8(utf8);
  const Regex regex(pattern);
  std::vector<std::string> pieces;
  size_t done = 0;
  regex.for_each_match(utf8, [&](size_t, size_t end) {
    add_trimmed(pieces, utf8.substr(done, end - done));
    done = end;
  });
  add_trimmed(pieces, utf8.substr(done));
  return pieces;
}

std::vector<std::string> pack_pieces(const std::vector<std::string>& pieces, int max_characters) {
  if (max_characters < 1) {
    throw UsageError("a piece of at most " + std::to_string(max_characters) + " characters", {},
                     "give a limit of 1 or more");
  }
  std::vector<std::string> packed;
  for (const std::string& piece : pieces) {
    std::string_view rest = trim_spaces(piece);
    if (rest.empty()) continue;
    if (!packed.empty()) {
      const std::string joined =
          packed.back() + (needs_space_after(packed.back()) ? " " : "") + std::string(rest);
      if (count_characters(joined) <= max_characters) {
        packed.back() = joined;
        continue;
      }
    }
    while (count_characters(rest) > max_characters) {
      const size_t end = break_position(rest, max_characters);
      add_trimmed(packed, rest.substr(0, end));
      rest = trim_spaces(rest.substr(end));
    }
    if (!rest.empty()) packed.emplace_back(rest);
  }
  return packed;
}

std::vector<std::string> halve_pieces(const std::vector<std::string>& pieces,
                                      const std::function<bool(const std::string&)>& fits) {
  std::vector<std::string> halved;
  for (const std::string& piece : pieces) {
    const int64_t characters = count_characters(piece);
    if (characters < 2 || fits(piece)) {
      halved.push_back(piece);
      continue;
    }
    size_t end = break_position(piece, (characters + 1) / 2);  // inside a word that is too long
    if (const size_t space = piece.find(' ', end); space != std::string::npos) end = space;
    std::vector<std::string> halves;
    add_trimmed(halves, std::string_view(piece).substr(0, end));
    add_trimmed(halves, std::string_view(piece).substr(end));
    for (std::string& part : halve_pieces(halves, fits)) halved.push_back(std::move(part));
  }
  return halved;
}

}  // namespace ttsft
