// One row of a data set, whatever format it came in.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ttsft {

struct Utterance {
  std::string id;     // the row's id, else the stem of its audio file; unique in a set
  std::string audio;  // a path as written in the source; absolute where the source has none
  std::filesystem::path
      audio_path;  // absolute: the working directory first, then the source's folder
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

}  // namespace ttsft
