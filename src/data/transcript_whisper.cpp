// JSON of Whisper and its relatives.
#include <cmath>
#include <nlohmann/json.hpp>

#include "transcript_formats.h"
#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

// Numbers, and texts that are numbers.
double number(const ordered_json& object, const char* key) {
  if (!object.contains(key)) return std::nan("");
  const ordered_json& value = object[key];
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return seconds_of_text(value.get<std::string>()).value_or(std::nan(""));
  return std::nan("");
}

std::string text_of(const ordered_json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}

}  // namespace

Transcript whisper_transcript(const std::filesystem::path& file) {
  const auto json = ordered_json::parse(read_text(file), nullptr, /*allow_exceptions=*/false);
  const bool lists = json.is_object() && json.contains("segments");
  const bool cpp = json.is_object() && json.contains("transcription");
  const ordered_json& segments = lists ? json["segments"] : cpp ? json["transcription"] : json;
  if (!segments.is_array())
    throw DataError("no list of segments in it", file.string(),
                    "give Whisper's JSON: \"segments\" with start, end and text");
  Transcript transcript;
  transcript.format = "Whisper JSON";
  for (size_t i = 0; i < segments.size(); ++i) {
    const ordered_json& segment = segments[i];
    if (!segment.is_object()) {
      transcript.ignored.push_back("segment " + std::to_string(i) + ": no object");
      continue;
    }
    Cue cue;
    if (cpp && segment.contains("offsets") && segment["offsets"].is_object()) {
      cue.begin = number(segment["offsets"], "from") / 1000;
      cue.end = number(segment["offsets"], "to") / 1000;
    } else {
      cue.begin = number(segment, "start");
      cue.end = number(segment, "end");
    }
    cue.text = text_of(segment, "text");
    cue.speaker = text_of(segment, "speaker");
    transcript.cues.push_back(std::move(cue));
  }
  return transcript;
}

}  // namespace ttsft
