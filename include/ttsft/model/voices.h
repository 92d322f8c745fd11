// The speakers of a set and a recording of each, kept in voices.json and voices/ of a prepared set,
// of the checkpoints that were trained on it and of their exports: a fine-tuned model can be asked
// for any of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ttsft/config/run_config.h"

namespace ttsft {

class ModelAdapter;
struct CheckpointSet;

inline constexpr const char* kVoicesFile = "voices.json";
inline constexpr const char* kVoicesFolder = "voices";

struct LearnedVoice {
  std::string speaker;  // "": the set names none
  int64_t clips = 0;
  double seconds = 0;
  std::filesystem::path recording;  // of some seconds; empty: the set had none
  std::string text;                 // what is said in it; "": not known
  int64_t among = 1;                // how many voices were learned together
};

// By name; empty where there is no such file. DataError: it is broken.
std::vector<LearnedVoice> read_voices(const std::filesystem::path& folder);
// With copies of the recordings, each under its speaker's name.
void write_learned_voices(const std::filesystem::path& folder,
                          const std::vector<LearnedVoice>& voices);
// The file and the recordings, linked where the file system allows it. Nothing where there are
// none.
void copy_voices(const std::filesystem::path& from, const std::filesystem::path& to);

// Of what index.json says under "speakers", without recordings; empty for an older set.
std::vector<LearnedVoice> voices_of(const nlohmann::ordered_json& speakers);
// "anna 30 clips 1:45, boris 28 clips 1:31"; of many the first ones and how many more.
std::string describe_voices(const std::vector<LearnedVoice>& voices);

// data.reference.file is the recording that was kept of the voice. UsageError: none was.
void speak_as_recorded(RunConfig& config, const LearnedVoice& voice);

// The run file with data.speaker in the spelling of the checkpoint and data.reference.file as the
// recording that the speaker wants: of data.reference by speaker, else what speak_as() makes of a
// learned voice. `speaks`: false for given codes, which may need no voice at all.
// UsageError with the names there are: a speaker that neither the checkpoint nor data.reference
// knows, or none where there are several. A release without names says that the name is a label.
RunConfig with_voice(const RunConfig& config, const ModelAdapter& adapter,
                     const CheckpointSet& checkpoints, bool speaks);

}  // namespace ttsft
