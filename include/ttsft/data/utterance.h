// One row of a data set, whatever format it came in.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ttsft {

struct Utterance {
  std::string id;        // the row's id, else the stem of its audio file; unique in a set
  std::string audio;     // as written in the source (kept in the prepared row)
  std::filesystem::path audio_path;      // resolved: the working directory first, then the manifest's folder
  std::string text;
  std::string speaker;                   // the row's, else data.speaker, else ""
  std::string language;                  // "" when the row has none
  std::string instruct;                  // "" when the row has none
  std::string reference;                 // voice reference as written: ref_audio of the row, else data.reference
  std::filesystem::path reference_path;  // resolved; empty when there is none
  nlohmann::ordered_json row;            // all fields of the source row, unknown ones too, in their order
  std::string where;                     // "metadata.csv line 12", for error lines
};

struct RejectedRow {
  std::string id, where, reason, guard;
};

}  // namespace ttsft
