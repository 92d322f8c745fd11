#include "state.h"

#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kSettings = "settings.json";
constexpr int kVersion = 1;

ordered_json to_json(const FoundClip& clip) {
  ordered_json json = {{"id", clip.id},
                       {"begin", clip.begin},
                       {"end", clip.end},
                       {"speech_begin", clip.speech_begin},
                       {"speech_end", clip.speech_end},
                       {"text", clip.text},
                       {"speaker", clip.speaker},
                       {"confidence", nullptr},
                       {"problem", clip.problem},
                       {"message", clip.message},
                       {"has_audio", clip.has_audio},
                       {"voice", clip.voice},
                       {"unlike", clip.unlike}};
  if (!std::isnan(clip.confidence)) json["confidence"] = clip.confidence;
  return json;
}

FoundClip clip_from(const ordered_json& json) {
  FoundClip clip;
  json.at("id").get_to(clip.id);
  json.at("begin").get_to(clip.begin);
  json.at("end").get_to(clip.end);
  json.at("speech_begin").get_to(clip.speech_begin);
  json.at("speech_end").get_to(clip.speech_end);
  json.at("text").get_to(clip.text);
  json.at("speaker").get_to(clip.speaker);
  if (!json.at("confidence").is_null()) json.at("confidence").get_to(clip.confidence);
  json.at("problem").get_to(clip.problem);
  json.at("message").get_to(clip.message);
  json.at("has_audio").get_to(clip.has_audio);
  json.at("voice").get_to(clip.voice);
  json.at("unlike").get_to(clip.unlike);
  return clip;
}

RecordingState recording_from(const ordered_json& json) {
  RecordingState state;
  json.at("name").get_to(state.name);
  json.at("file").get_to(state.file);
  json.at("hash").get_to(state.hash);
  json.at("speaker").get_to(state.speaker);
  json.at("seconds").get_to(state.seconds);
  json.at("texts_from").get_to(state.texts_from);
  json.at("listed").get_to(state.listed);
  for (const ordered_json& clip : json.at("clips")) state.clips.push_back(clip_from(clip));
  return state;
}

}  // namespace

CurateState::CurateState(fs::path out) : out_(std::move(out)), folder_(out_ / ".curate") {}

std::map<std::string, RecordingState> CurateState::load() const {
  std::map<std::string, RecordingState> states;
  if (!fs::is_directory(folder_)) return states;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() != ".json" || entry.path().filename() == kSettings) continue;
    try {
      RecordingState state = recording_from(read_json_object(entry.path()));
      const std::string name = state.name;
      states[name] = std::move(state);
    } catch (const nlohmann::json::exception& error) {
      throw DataError(std::string("damaged: ") + error.what(), entry.path().string(),
                      "remove it: its recording is then taken anew");
    }
  }
  return states;
}

void CurateState::save(const RecordingState& recording) const {
  fs::create_directories(folder_);
  ordered_json json = {{"name", recording.name},       {"file", recording.file},
                       {"hash", recording.hash},       {"speaker", recording.speaker},
                       {"seconds", recording.seconds}, {"texts_from", recording.texts_from},
                       {"listed", recording.listed},   {"clips", ordered_json::array()}};
  for (const FoundClip& clip : recording.clips) json["clips"].push_back(to_json(clip));
  // Short, whatever folders the recording lies in.
  write_text_atomic(folder_ / (hash_text(recording.name) + ".json"), json.dump() + "\n");
}

void CurateState::settle(const ordered_json& settings) const {
  ordered_json all = settings;
  all["version"] = kVersion;
  const fs::path file = folder_ / kSettings;
  if (!fs::exists(file)) {
    std::error_code none;
    if (fs::exists(out_ / "metadata.csv", none))
      throw UsageError("a table that curate did not write lies there", out_.string(),
                       "name another folder for --out");
    fs::create_directories(folder_);
    return write_text_atomic(file, all.dump(2) + "\n");
  }
  const ordered_json before = read_json_object(file);
  std::vector<std::string> differing;
  for (const auto& [key, value] : all.items()) {
    const ordered_json old = before.contains(key) ? before[key] : ordered_json();
    if (old != value) differing.push_back(key + " was " + old.dump() + ", is " + value.dump());
  }
  if (!differing.empty())
    throw UsageError("other settings than the last call's: " + join(differing, "; "), out_.string(),
                     "give the same, or another folder for --out");
}

}  // namespace ttsft
