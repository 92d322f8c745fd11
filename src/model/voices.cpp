#include "ttsft/model/voices.h"

#include <algorithm>
#include <cstdio>

#include "ttsft/core/error.h"
#include "ttsft/core/file_name.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/atomic_file.h"
#include "ttsft/io/json_reader.h"
#include "ttsft/model/adapter.h"
#include "ttsft/text/fold.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr size_t kNamedVoices = 8;  // in a line for people

bool same_name(const std::string& a, const std::string& b) {
  return fold_name(a) == fold_name(b);
}

// The voices that data.speaker may name, in the order of the errors that list them.
struct Voices {
  std::vector<LearnedVoice> learned;
  std::vector<std::string> named;  // by the weights
  std::vector<std::string> given;  // by data.reference

  const LearnedVoice* find_learned(const std::string& speaker) const {
    const auto found = std::find_if(learned.begin(), learned.end(), [&](const LearnedVoice& voice) {
      return same_name(voice.speaker, speaker);
    });
    return found == learned.end() ? nullptr : &*found;
  }
  static const std::string* find(const std::vector<std::string>& names,
                                 const std::string& speaker) {
    const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
      return same_name(name, speaker);
    });
    return found == names.end() ? nullptr : &*found;
  }
  // Each once.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    const auto add = [&](const std::string& name) {
      if (!name.empty() && !find(all, name)) all.push_back(name);
    };
    for (const LearnedVoice& voice : learned) add(voice.speaker);
    for (const std::string& name : named) add(name);
    for (const std::string& name : given) add(name);
    return all;
  }
};

// Beside the checkpoint of any stage: the language model's own first.
std::vector<LearnedVoice> learned_voices(const CheckpointSet& checkpoints) {
  for (const auto& [stage, checkpoint] : checkpoints.stages)
    if (stage == "lm") return read_voices(checkpoint.folder);
  if (checkpoints.base.kind == CheckpointKind::kFull) return read_voices(checkpoints.base.folder);
  for (const auto& [stage, checkpoint] : checkpoints.stages)
    if (auto voices = read_voices(checkpoint.folder); !voices.empty()) return voices;
  return read_voices(checkpoints.base.folder);  // an export that is used as a release
}

// A release may take the voice from the prepared set.
bool in_set(const fs::path& prepared, const std::string& speaker) {
  if (prepared.empty()) return false;
  const std::vector<LearnedVoice> voices = read_voices(prepared);
  return std::any_of(voices.begin(), voices.end(),
                     [&](const LearnedVoice& voice) { return same_name(voice.speaker, speaker); });
}

UsageError unknown(const std::string& speaker, const Voices& voices) {
  const std::vector<std::string> names = voices.names();
  const std::string near = nearest(speaker, names);
  return UsageError("no voice is called '" + speaker + "'", "data.speaker",
                    names.empty() ? "the one that was learned has no name: remove data.speaker"
                                  : (near.empty() ? "" : "is '" + near + "' meant? ") +
                                        "known: " + join(names, ", "));
}

}  // namespace

std::vector<LearnedVoice> read_voices(const fs::path& folder) {
  std::vector<LearnedVoice> voices;
  const fs::path file = folder / kVoicesFile;
  if (!fs::exists(file)) return voices;
  const ordered_json json = read_json_object(file);
  for (const auto& [speaker, entry] : json.items()) {
    const JsonReader reader(entry, file.string() + ": " + speaker);
    LearnedVoice voice{speaker, reader.integer("clips"), reader.number("seconds"), {}, {}};
    if (entry.contains("recording")) {
      const fs::path name = fs::path(reader.text("recording")).filename();  // nowhere else
      voice.recording = folder / kVoicesFolder / name;
      if (!fs::is_regular_file(voice.recording))
        throw DataError("the recording of speaker '" + speaker + "' is not there",
                        voice.recording.string(), "copy the folder again, with voices/");
    }
    if (entry.contains("text")) voice.text = reader.text("text");
    voices.push_back(std::move(voice));
  }
  for (LearnedVoice& voice : voices) voice.among = std::ssize(voices);
  return voices;
}

void write_learned_voices(const fs::path& folder, const std::vector<LearnedVoice>& voices) {
  ordered_json json = ordered_json::object();
  AtomicFolder copies(folder / kVoicesFolder);
  for (const LearnedVoice& voice : voices) {
    ordered_json& entry = json[voice.speaker];
    entry = {{"clips", voice.clips}, {"seconds", voice.seconds}};
    if (!voice.recording.empty()) {
      const std::string name = file_name_of(voice.speaker.empty() ? "voice" : voice.speaker) +
                               voice.recording.extension().string();
      write_text_atomic(copies.path() / name, read_text(voice.recording));
      entry["recording"] = std::string(kVoicesFolder) + "/" + name;
    }
    if (!voice.text.empty()) entry["text"] = voice.text;
  }
  copies.commit();
  write_text_atomic(folder / kVoicesFile, json.dump(1) + "\n");
}

void copy_voices(const fs::path& from, const fs::path& to) {
  if (from.empty() || !fs::exists(from / kVoicesFile)) return;
  fs::remove_all(to / kVoicesFolder);  // of the release that it was made from
  fs::remove(to / kVoicesFile);
  fs::create_directories(to / kVoicesFolder);
  for (const LearnedVoice& voice : read_voices(from)) {
    if (voice.recording.empty()) continue;
    link_or_copy(voice.recording, to / kVoicesFolder / voice.recording.filename());
  }
  link_or_copy(from / kVoicesFile, to / kVoicesFile);
}

std::vector<LearnedVoice> voices_of(const ordered_json& speakers) {
  std::vector<LearnedVoice> voices;
  if (!speakers.is_object()) return voices;
  for (const auto& [name, entry] : speakers.items()) {
    LearnedVoice& voice = voices.emplace_back();
    voice.speaker = name;
    voice.clips = entry.value("clips", int64_t{0});
    voice.seconds = entry.value("seconds", 0.0);
  }
  return voices;
}

std::string describe_voices(const std::vector<LearnedVoice>& voices) {
  std::string text;
  for (size_t i = 0; i < std::min(voices.size(), kNamedVoices); ++i) {
    const LearnedVoice& voice = voices[i];
    text += (i > 0 ? ", " : "") + (voice.speaker.empty() ? "without a name" : voice.speaker) + " " +
            std::to_string(voice.clips) + (voice.clips == 1 ? " clip " : " clips ") +
            clock_text(voice.seconds);
  }
  if (voices.size() > kNamedVoices)
    text += " and " + std::to_string(voices.size() - kNamedVoices) + " more speakers";
  return text;
}

void speak_as_recorded(RunConfig& config, const LearnedVoice& voice) {
  if (voice.recording.empty())
    throw UsageError("no recording of the voice '" + voice.speaker + "' was kept: the set had none",
                     "data.speaker", "name a recording of it in data.reference");
  config.data.reference.file = voice.recording;
}

RunConfig with_voice(const RunConfig& given, const ModelAdapter& adapter,
                     const CheckpointSet& checkpoints, bool speaks) {
  RunConfig config = given;
  Voices voices{learned_voices(checkpoints), adapter.named_voices(given, checkpoints), {}};
  for (const auto& [name, file] : given.data.reference.by_speaker) voices.given.push_back(name);
  std::string& speaker = config.data.speaker;
  fs::path& reference = config.data.reference.file;

  if (speaker.empty()) {
    if (!reference.empty()) return config;  // a voice without a name
    if (voices.given.size() == 1 && voices.learned.size() < 2) {
      speaker = voices.given.front();
    } else if (voices.learned.size() == 1) {
      speaker = voices.learned.front().speaker;
      if (speaker.empty()) adapter.speak_as(config, voices.learned.front());
    } else if (voices.learned.size() + voices.given.size() > 1) {
      if (!speaks) return config;
      throw UsageError("no speaker is named, and there are several", "data.speaker",
                       "known: " + join(voices.names(), ", "));
    }
    if (speaker.empty()) return config;
  }

  const LearnedVoice* learned = voices.find_learned(speaker);
  const std::string* named = Voices::find(voices.named, speaker);
  if (const std::string* own = Voices::find(voices.given, speaker))
    reference = given.data.reference.by_speaker.at(*own);
  if (named) {
    speaker = *named;
  } else if (learned) {
    speaker = learned->speaker;
    if (reference.empty()) adapter.speak_as(config, *learned);
  } else if (Voices::find(voices.given, speaker)) {
    log_info("speaker ", speaker, ": the voice of ", reference.string());
  } else if (!voices.learned.empty() || !voices.given.empty() ||
             (!voices.named.empty() && reference.empty() &&
              !in_set(config.data.prepared, speaker))) {
    throw unknown(speaker, voices);
  } else {
    log_warning("data.speaker: '", speaker,
                "' is only a label: this checkpoint has no voice of that name, ",
                reference.empty() ? "and speaks with its own" : "and speaks with data.reference");
  }
  return config;
}

}  // namespace ttsft
