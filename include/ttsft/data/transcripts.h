// What is said in a long recording and when: subtitles and the like.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ttsft {

struct Cue {
  double begin = 0, end = 0;  // seconds from the start of the recording; begin < end
  std::string text;           // one line, without markup, trimmed; never empty
  std::string speaker;        // where the file names one
  bool is_word = false;       // one word of a text that is timed word by word
};

struct Transcript {
  std::filesystem::path file;
  std::string format;     // "SRT", "WebVTT", "TextGrid", "Whisper JSON", "Kaldi"
  std::vector<Cue> cues;  // by begin; a cue that begins before the one before it has ended is kept
  std::vector<std::string> ignored;  // "line 12: no time", one for each cue that cannot be used
};

// .srt, .vtt, .TextGrid (long, short; UTF-8, UTF-16), .json of Whisper and its relatives
// ("segments" with "start", "end", "text", and perhaps "words"; "transcription" with offsets of
// whisper.cpp). DataError: it cannot be read, or no cue in it can be used.
Transcript read_transcript(const std::filesystem::path& file);

// Of a Kaldi folder (segments, text, perhaps utt2spk, wav.scp): by the recording's id, and by the
// stem of its file where wav.scp names one.
std::map<std::string, Transcript> read_kaldi_transcripts(const std::filesystem::path& folder);

bool is_transcript(const std::filesystem::path& file);  // by its name

}  // namespace ttsft
