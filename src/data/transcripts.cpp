#include "ttsft/data/transcripts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "import.h"
#include "transcript_formats.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;

// Wholly in brackets, or notes: what is heard, and said by nobody.
bool is_sound(const std::string& text) {
  for (const auto& [open, close] : {std::pair("[", "]"), {"(", ")"}})
    if (text.starts_with(open) && text.ends_with(close) && text.find(close) == text.size() - 1)
      return true;
  return text.starts_with("\u266a");
}

void finish(Transcript& transcript, const fs::path& file) {
  std::erase_if(transcript.cues, [&](Cue& cue) {
    cue.text = trim(cue.text);
    const auto refuse = [&](const std::string& why) {
      transcript.ignored.push_back(why + ": '" + cue.text + "'");
      return true;
    };
    if (cue.text.empty()) return refuse("no text");
    if (is_sound(cue.text)) return refuse("no speech");
    if (!(cue.begin >= 0 && cue.end > cue.begin)) return refuse("it ends before it begins");
    return false;
  });
  if (transcript.cues.empty())
    throw DataError("no text with its time in this transcript", file.string(),
                    "give SRT, WebVTT, TextGrid or Whisper JSON");
  std::stable_sort(transcript.cues.begin(), transcript.cues.end(),
                   [](const Cue& a, const Cue& b) { return a.begin < b.begin; });
}

}  // namespace

bool is_transcript(const fs::path& file) {
  const std::string extension = to_lower_ascii(file.extension().string());
  return extension == ".srt" || extension == ".vtt" || extension == ".textgrid" ||
         extension == ".json";
}

Transcript read_transcript(const fs::path& file) {
  const std::string extension = to_lower_ascii(file.extension().string());
  Transcript transcript;
  if (extension == ".json") {
    transcript = whisper_transcript(file);
  } else if (extension == ".textgrid") {
    transcript = textgrid_transcript(file);
  } else {
    transcript = subtitle_transcript(file);
  }
  transcript.file = file;
  finish(transcript, file);
  return transcript;
}

std::map<std::string, Transcript> read_kaldi_transcripts(const fs::path& folder) {
  const auto table = [&](const char* name) {
    std::map<std::string, std::string> entries;
    if (!fs::exists(folder / name)) return entries;
    for (const SourceLine& line : read_lines(folder / name)) {
      if (!line.bad.empty()) throw DataError(line.bad, place(folder / name, line.number));
      const std::string text = trim(line.text);
      const size_t end = std::min(text.find_first_of(" \t"), text.size());
      entries[text.substr(0, end)] = trim(text.substr(end));
    }
    return entries;
  };
  const auto texts = table("text"), speakers = table("utt2spk");
  std::map<std::string, Transcript> found;
  for (const auto& [id, value] : table("segments")) {
    const std::vector<std::string> fields = split(value, ' ');
    const auto begin = fields.size() == 3 ? seconds_of_text(fields[1]) : std::nullopt;
    auto end = fields.size() == 3 ? seconds_of_text(fields[2]) : std::nullopt;
    Transcript& transcript = found[fields.front()];
    transcript.file = folder;
    transcript.format = "Kaldi";
    const auto text = texts.find(id);
    if (!begin || !end || text == texts.end()) {
      transcript.ignored.push_back(id + ": not `utterance recording begin end`, or no text");
      continue;
    }
    if (*end == -1) end = std::numeric_limits<double>::max();  // to the end of the recording
    Cue cue{*begin, *end, text->second, "", false};
    if (const auto speaker = speakers.find(id); speaker != speakers.end())
      cue.speaker = speaker->second;
    transcript.cues.push_back(std::move(cue));
  }
  for (auto& [recording, transcript] : found) finish(transcript, folder / "segments");
  for (const auto& [recording, file] : table("wav.scp")) {
    const auto own = found.find(recording);
    if (own == found.end()) continue;
    const Transcript copy = own->second;
    found.emplace(fs::path(file).stem().string(), copy);
  }
  return found;
}

}  // namespace ttsft
