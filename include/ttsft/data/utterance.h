// One row of a data set, whatever format it came in.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ttsft {

// A recording inside a larger file: prep makes it a file of its own (data/recordings.h).
struct RecordingPart {
  std::filesystem::path file;  // absolute: a long recording, or a parquet file
  double begin = 0, end = 0;   // seconds; end 0: to the end of the file
  int64_t row = -1;            // of a parquet file
};

struct Utterance {
  std::string id;     // the row's id, else the stem of its audio file; unique in a set
  std::string audio;  // a path as written in the source; absolute where the source has none
  std::filesystem::path
      audio_path;  // absolute: the working directory first, then the source's folder
  std::optional<RecordingPart> part;  // where audio_path is still to be made of it
  // What it was cut from, where the source says so: neighbours of one take (data/split).
  std::string recording;
  std::filesystem::path folder;  // absolute: where relative paths in its own fields start
  std::string text;
  std::string speaker;    // the row's, else data.speaker, else ""
  std::string language;   // "" when the row has none
  std::string instruct;   // "" when the row has none
  std::string reference;  // voice reference as written: ref_audio of the row, else data.reference
  std::filesystem::path reference_path;  // resolved; empty when there is none
  // All fields of the source row, unknown ones too, in their order; then audio, text and ref_audio
  // where it has no such field, so that upstream's trainers can read it.
  nlohmann::ordered_json row;
  std::string where;  // "metadata.csv line 12", for error lines
};

struct RejectedRow {
  std::string id, where, reason, guard;
};

// One that is used, and what a guard says of it.
struct WarnedRow {
  std::string id, where, message, guard;
};

}  // namespace ttsft
