// SubRip and WebVTT.
#include <charconv>
#include <cmath>

#include "import.h"
#include "transcript_formats.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"

namespace ttsft {
namespace {

// "01:02:03,450", "02:03.450"
std::optional<double> clock_of(std::string text) {
  for (char& c : text)
    if (c == ',') c = '.';
  double seconds = 0;
  const std::vector<std::string> parts = split(trim(text), ':');
  if (parts.size() < 2 || parts.size() > 3) return std::nullopt;
  for (const std::string& part : parts) {
    const auto value = seconds_of_text(part);
    if (!value || *value < 0) return std::nullopt;
    seconds = seconds * 60 + *value;
  }
  return seconds;
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

// Without <i>, {\an8} and entities; the speaker of <v NAME>.
std::string plain(const std::string& line, std::string& speaker) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    const char close = line[i] == '<' ? '>' : line.compare(i, 2, "{\\") == 0 ? '}' : '\0';
    const size_t end = close ? line.find(close, i) : std::string::npos;
    if (end == std::string::npos) {
      text += line[i];
      continue;
    }
    const std::string tag = line.substr(i + 1, end - i - 1);
    if (tag.starts_with("v ") || tag.starts_with("v."))
      speaker = trim(tag.substr(std::min(tag.find(' '), tag.size())));
    i = end;
  }
  for (const auto& [entity, letter] : {std::pair("&lt;", "<"),
                                       {"&gt;", ">"},
                                       {"&nbsp;", " "},
                                       {"&lrm;", ""},
                                       {"&rlm;", ""},
                                       {"&quot;", "\""},
                                       {"&#39;", "'"},
                                       {"&amp;", "&"}})
    replace_all(text, entity, letter);
  text = trim(text);
  if (text.starts_with("- ")) text = text.substr(2);
  return text;
}

}  // namespace

std::optional<double> seconds_of_text(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

Transcript subtitle_transcript(const std::filesystem::path& file) {
  Transcript transcript;
  const std::vector<SourceLine> lines = read_lines(file);  // blank ones are left out
  const bool web = !lines.empty() && lines.front().text.starts_with("WEBVTT");
  transcript.format = web ? "WebVTT" : "SRT";
  const auto is_time = [&](size_t i) { return lines[i].text.find("-->") != std::string::npos; };
  std::string before;  // the lines of the cue before, which rolling captions say again
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].bad.empty())
      transcript.ignored.push_back("line " + std::to_string(lines[i].number) + ": " + lines[i].bad);
    if (!is_time(i)) continue;
    const std::string& line = lines[i].text;
    const size_t arrow = line.find("-->");
    std::string to = trim(line.substr(arrow + 3));
    to = to.substr(0, to.find_first_of(" \t"));
    const auto begin = clock_of(line.substr(0, arrow)), end = clock_of(to);
    Cue cue;
    std::string last;
    int64_t number = lines[i].number;
    size_t next = i + 1;
    // A blank line ends a cue: what follows is a number or a name of the next.
    for (; next < lines.size() && lines[next].number == number + 1 && !is_time(next); ++next) {
      number = lines[next].number;
      if (!lines[next].bad.empty()) continue;
      last = plain(lines[next].text, cue.speaker);
      if (last.empty() || (web && last == before)) continue;
      cue.text += (cue.text.empty() ? "" : " ") + last;
    }
    if (!last.empty()) before = last;
    if (!begin || !end) {
      transcript.ignored.push_back("line " + std::to_string(lines[i].number) + ": no time");
    } else if (!cue.text.empty()) {
      cue.begin = *begin;
      cue.end = *end;
      transcript.cues.push_back(std::move(cue));
    }
    i = next - 1;
  }
  return transcript;
}

}  // namespace ttsft
