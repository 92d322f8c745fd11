// Praat's TextGrid, long and short: both are the same numbers and texts, with labels or without.
#include <algorithm>
#include <set>

#include "import.h"
#include "transcript_formats.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

struct Token {
  std::string text;
  bool quoted = false;
};

std::vector<Token> tokens_of(const std::string& text) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '"') {  // "" inside is a quote
      Token token{"", true};
      for (++i; i < text.size(); ++i) {
        if (text[i] != '"') {
          token.text += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '"') {
          token.text += text[++i];
        } else {
          break;
        }
      }
      ++i;
      tokens.push_back(std::move(token));
      continue;
    }
    const size_t end = std::min(text.find_first_of(" \t\n\"", i), text.size());
    const std::string word = text.substr(i, end - i);
    if (seconds_of_text(word)) tokens.push_back({word, false});
    i = std::max(end, i + 1);
  }
  return tokens;
}

struct Tier {
  std::string name;
  std::vector<Cue> cues;
};

// Of intervals; points are passed over.
std::vector<Tier> tiers_of(const std::vector<Token>& tokens) {
  std::vector<Tier> tiers;
  for (size_t i = 0; i + 4 < tokens.size(); ++i) {
    if (!tokens[i].quoted || tokens[i].text != "IntervalTier") continue;
    Tier tier{tokens[i + 1].text, {}};
    size_t at = i + 5;  // behind name, begin, end and number
    for (; at + 2 < tokens.size() && !tokens[at].quoted && !tokens[at + 1].quoted &&
           tokens[at + 2].quoted;
         at += 3) {
      Cue cue{*seconds_of_text(tokens[at].text), *seconds_of_text(tokens[at + 1].text),
              tokens[at + 2].text, "", false};
      tier.cues.push_back(std::move(cue));
    }
    tiers.push_back(std::move(tier));
    i = at - 1;
  }
  return tiers;
}

const Tier& choose(const std::vector<Tier>& tiers, const std::filesystem::path& file) {
  std::vector<const Tier*> candidates;
  std::vector<std::string> names;
  const auto by_name = [&](const std::set<std::string>& wanted) -> const Tier* {
    for (const Tier& tier : tiers)
      if (wanted.contains(to_lower_ascii(tier.name))) return &tier;
    return nullptr;
  };
  if (const Tier* tier = by_name({"utterance", "utterances", "sentence", "sentences", "phrase",
                                  "phrases", "text", "transcript", "transcription", "ort"}))
    return *tier;
  if (const Tier* tier = by_name({"words", "word"})) return *tier;
  for (const Tier& tier : tiers) {
    const std::string name = to_lower_ascii(tier.name);
    if (name == "phones" || name == "phone" || name == "phonemes" || name == "segments") continue;
    candidates.push_back(&tier);
    names.push_back("'" + tier.name + "'");
  }
  if (candidates.size() == 1) return *candidates.front();
  throw DataError("which tier holds the texts: " + join(names, ", ") + "?", file.string(),
                  "call it utterances, or words");
}

}  // namespace

Transcript textgrid_transcript(const std::filesystem::path& file) {
  std::string text;
  for (const SourceLine& line : read_lines(file)) {
    if (!line.bad.empty()) throw DataError(line.bad, place(file, line.number), "save it as UTF-8");
    text += line.text + "\n";
  }
  Transcript transcript;
  transcript.format = "TextGrid";
  const std::vector<Tier> tiers = tiers_of(tokens_of(text));
  if (tiers.empty()) throw DataError("no tier of intervals", file.string(), "is it a TextGrid?");
  const Tier& tier = choose(tiers, file);
  const std::string name = to_lower_ascii(tier.name);
  const std::set<std::string> silent = {"", "sil", "sp", "spn", "<eps>", "<p:>"};
  for (Cue cue : tier.cues) {
    cue.text = trim(cue.text);
    cue.is_word = name == "words" || name == "word";
    if (!silent.contains(to_lower_ascii(cue.text))) transcript.cues.push_back(std::move(cue));
  }
  return transcript;
}

}  // namespace ttsft
