// What was found in each recording, kept in OUT/.curate so that a second call takes only what is
// new.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "voices.h"

namespace ttsft {

struct FoundClip {
  std::string id;             // "chapter_01_0012"
  double begin = 0, end = 0;  // seconds in the recording; of the clip
  double speech_begin = 0, speech_end = 0;
  std::string text;
  std::string speaker;  // as the transcript names it
  double confidence = std::numeric_limits<double>::quiet_NaN();
  std::string problem, message;  // why it is not in the table; "": it may be
  bool has_audio = false;
  VoiceVector voice;
  std::vector<VoiceVector> unlike;  // the two of its windows that are least alike

  double seconds() const { return end - begin; }
};

struct RecordingState {
  std::string name, file, hash;
  std::string speaker;  // --speaker of the call that took it
  double seconds = 0;
  std::string texts_from;  // "SRT", "recogniser"
  std::vector<FoundClip> clips;
  bool listed = false;  // its clips have been given to the tables
};

class CurateState {
 public:
  explicit CurateState(std::filesystem::path out);

  // By the recording's name. DataError: a file of it is damaged.
  std::map<std::string, RecordingState> load() const;
  void save(const RecordingState& recording) const;

  // UsageError with what differs from the call before, if there was one.
  void settle(const nlohmann::ordered_json& settings) const;

 private:
  std::filesystem::path out_, folder_;
};

}  // namespace ttsft
