// Which speech belongs to which cues of a transcript.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cut.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

constexpr double kLate = 0.3;        // seconds that people's cues are off
constexpr double kShared = 0.3;      // seconds of a cue in a span that bind the two,
constexpr double kSharedPart = 0.5;  // or that part of the cue
constexpr double kUntold = 0.6;      // seconds of speech in a row that no cue covers
constexpr double kUntoldPart = 0.7;  // of a span that belongs to no cue
constexpr double kLeastPause = 0.2;

double overlap(double a_begin, double a_end, double b_begin, double b_end) {
  return std::max(0.0, std::min(a_end, b_end) - std::max(a_begin, b_begin));
}

// Spans and cues as one set of things, joined where one was said in the other.
class Groups {
 public:
  explicit Groups(size_t count) : parents_(count) {
    std::iota(parents_.begin(), parents_.end(), size_t{0});
  }
  size_t find(size_t i) {
    while (parents_[i] != i) i = parents_[i] = parents_[parents_[i]];
    return i;
  }
  void join(size_t a, size_t b) {
    parents_[std::max(find(a), find(b))] = std::min(find(a), find(b));
  }

 private:
  std::vector<size_t> parents_;
};

bool ends_sentence(const std::string& text) {
  for (const char* mark : {".", "?", "!", ":", ";", "\u2026", "\u3002", "\uff1f", "\uff01",
                           "\uff1b", "\uff1a", "\u0964", "\u061f"}) {
    for (const char* behind : {"", "\"", "'", ")", "\u201d", "\u2019", "\u00bb", "\u300d"})
      if (text.ends_with(std::string(mark) + behind)) return true;
  }
  return false;
}

// The longest stretch of the spans that no cue covers.
double longest_untold(const std::vector<SpeechSpan>& spans, const std::vector<Cue>& cues) {
  double longest = 0;
  for (const SpeechSpan& span : spans) {
    double told = span.begin;      // up to here
    for (const Cue& cue : cues) {  // by begin
      if (cue.end + kLate <= told || cue.begin - kLate >= span.end) continue;
      longest = std::max(longest, cue.begin - kLate - told);
      told = std::max(told, cue.end + kLate);
    }
    longest = std::max(longest, span.end - told);
  }
  return longest;
}

Atom untold(const SpeechSpan& span) {
  Atom atom;
  atom.begin = span.begin;
  atom.end = span.end;
  atom.problem = "no_text";
  atom.message = "speech that the transcript does not have";
  return atom;
}

Atom make_atom(const std::vector<SpeechSpan>& spans, const std::vector<Cue>& cues) {
  Atom atom;
  std::vector<std::string> texts;
  for (const Cue& cue : cues) texts.push_back(cue.text);
  const bool words = std::all_of(cues.begin(), cues.end(), [](const Cue& c) { return c.is_word; });
  atom.text = trim(join(texts, words && cues.front().text.starts_with(' ') ? "" : " "));
  atom.speaker = cues.front().speaker;
  atom.ends_sentence = ends_sentence(atom.text);
  if (spans.empty()) {
    atom.begin = cues.front().begin;
    atom.end = cues.back().end;
    atom.problem = "no_speech";
    atom.message = "a text where nobody speaks: '" + atom.text + "'";
    return atom;
  }
  atom.begin = spans.front().begin;
  atom.end = spans.back().end;
  const bool one = std::all_of(cues.begin(), cues.end(),
                               [&](const Cue& cue) { return cue.speaker == atom.speaker; });
  if (!one) {
    atom.problem = "two_speakers";
    atom.message = "no pause between two speakers of the transcript";
  } else if (longest_untold(spans, cues) > kUntold) {
    atom.problem = "partial_text";
    atom.message = "some of the speech is not in the transcript: '" + atom.text + "'";
  }
  return atom;
}

}  // namespace

std::vector<Atom> atoms_of(const std::vector<SpeechSpan>& speech, const std::vector<Cue>& cues) {
  const size_t spans = speech.size();
  Groups groups(spans + cues.size());
  std::vector<bool> has_text(spans, false);
  size_t first = 0;  // cues before it have ended long ago
  for (size_t s = 0; s < spans; ++s) {
    const SpeechSpan& span = speech[s];
    while (first < cues.size() && cues[first].end + kLate < span.begin) ++first;
    double told = 0, most = 0;
    size_t nearest = cues.size();
    for (size_t c = first; c < cues.size() && cues[c].begin - kLate < span.end; ++c) {
      const Cue& cue = cues[c];
      const double shared = overlap(span.begin, span.end, cue.begin, cue.end);
      told += overlap(span.begin, span.end, cue.begin - kLate, cue.end + kLate);
      if (shared > most) {
        most = shared;
        nearest = c;
      }
      if (shared >= kShared || (shared > 0 && shared >= kSharedPart * (cue.end - cue.begin))) {
        groups.join(s, spans + c);
        has_text[s] = true;
      }
    }
    const bool covered = told >= (1 - kUntoldPart) * span.seconds();
    if (!has_text[s] && covered && nearest < cues.size()) {
      groups.join(s, spans + nearest);
      has_text[s] = true;
    }
  }
  // What lies between the first and the last span of a group belongs to it; and no cut is possible
  // where the pause is too short.
  for (size_t s = 0; s + 1 < spans; ++s) {
    if (!has_text[s]) continue;
    size_t last = s;
    for (size_t t = s + 1; t < spans && speech[t].begin - speech[s].end < 30; ++t)
      if (has_text[t] && groups.find(t) == groups.find(s)) last = t;
    for (size_t t = s + 1; t <= last; ++t) {
      groups.join(s, t);
      has_text[t] = true;
    }
    if (has_text[s + 1] && speech[s + 1].begin - speech[s].end < kLeastPause) groups.join(s, s + 1);
  }

  std::vector<std::vector<SpeechSpan>> spans_of(spans + cues.size());
  std::vector<std::vector<Cue>> cues_of(spans + cues.size());
  for (size_t s = 0; s < spans; ++s) spans_of[groups.find(s)].push_back(speech[s]);
  for (size_t c = 0; c < cues.size(); ++c) cues_of[groups.find(spans + c)].push_back(cues[c]);
  std::vector<Atom> atoms;
  for (size_t g = 0; g < spans_of.size(); ++g) {
    if (!cues_of[g].empty()) {
      atoms.push_back(make_atom(spans_of[g], cues_of[g]));
    } else {
      for (const SpeechSpan& span : spans_of[g]) atoms.push_back(untold(span));
    }
  }
  std::stable_sort(atoms.begin(), atoms.end(),
                   [](const Atom& a, const Atom& b) { return a.begin < b.begin; });
  return atoms;
}

}  // namespace ttsft
