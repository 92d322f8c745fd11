// Which recordings there are, and which transcript belongs to which.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ttsft/data/transcripts.h"

namespace ttsft {

struct SourceRecording {
  std::filesystem::path file;
  std::string name;  // below the folder that was given, without its ending: "book/chapter_01"
};

struct FoundRecordings {
  std::vector<SourceRecording> recordings;  // by name
  std::vector<std::string> others;          // names of files that are none, for people
};

// Files, and folders however deep; what is under `out` is left out. Names are unique. UsageError:
// a path is not there, there is no recording.
FoundRecordings find_recordings(const std::vector<std::filesystem::path>& paths,
                                const std::filesystem::path& out);

// By a recording's name. A folder's file of the same path, else the only one of that stem
// ("chapter_01.en.srt" too); or a Kaldi folder by its recordings' ids.
class Transcripts {
 public:
  Transcripts() = default;
  // UsageError: not there, one file for several recordings, nothing in it that could be read.
  Transcripts(const std::filesystem::path& path, size_t recordings);

  // None where the recording has none. UsageError: two files could be its transcript. DataError:
  // its file cannot be used.
  std::optional<Transcript> of(const SourceRecording& recording) const;

 private:
  std::filesystem::path only_;
  std::map<std::string, std::vector<std::filesystem::path>> by_name_, by_stem_;
  std::map<std::string, Transcript> kaldi_;
};

}  // namespace ttsft
