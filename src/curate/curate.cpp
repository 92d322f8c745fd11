#include "ttsft/curate/curate.h"

#include <set>

#include "recording.h"
#include "sound.h"
#include "tables.h"
#include "ttsft/core/error.h"
#include "ttsft/core/hash.h"
#include "ttsft/core/log.h"
#include "ttsft/core/progress.h"
#include "ttsft/core/signals.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/folder_lock.h"
#include "ttsft/judge/judge_files.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kVad = "silero_vad/silero_vad_16k_op15.onnx";
constexpr const char* kVoices = "resemblyzer/pretrained.pt";

void check(const CurateOptions& options) {
  const auto refuse = [](const std::string& what, const std::string& remedy) {
    throw UsageError(what, "", remedy);
  };
  if (options.transcripts.empty())
    refuse("nothing tells what is said in the recordings",
           "give --transcripts DIR: SRT, WebVTT, TextGrid, Whisper JSON, or a Kaldi folder");
  if (!(options.min_seconds > 0 && options.max_seconds > options.min_seconds))
    refuse("clips cannot be between " + std::to_string(options.min_seconds) + " and " +
               std::to_string(options.max_seconds) + " s long",
           "give --min-seconds below --max-seconds");
  if (!(options.pause >= 0.2 && options.pause <= 2))
    refuse("--pause must be between 0.2 and 2 s", "shorter ones may lie inside a word");
  if (!(options.margin >= 0 && options.margin <= 1))
    refuse("--margin must be between 0 and 1 s", "0.15 is the default");
  if (!(options.min_confidence >= 0 && options.min_confidence <= 1))
    refuse("--min-confidence must be between 0 and 1", "0.37 is the default");
  if (options.speakers < 1) refuse("--speakers must be at least 1", "1 is the default");
}

CurateTools open_tools(const CurateOptions& options) {
  CurateTools tools;
  tools.vad = load_silero_vad(need_judge(kVad, "the voice activity detector (Silero VAD)"));
  const auto own = find_judge(kVoices);
  if (!options.speaker_encoder.empty()) {
    tools.speaker = open_speaker_encoder(options.speaker_encoder, options.device);
  } else if (own) {
    tools.speaker = open_speaker_encoder(*own, options.device);
  } else {
    log_warning(
        "voices are not told apart: no speaker encoder here; run tools/setup, or give "
        "--speaker-encoder FILE");
  }
  if (!options.voice.empty() && !tools.speaker)
    throw UsageError("--voice wants a speaker encoder", options.voice.string(),
                     "run tools/setup, or give --speaker-encoder FILE");
  return tools;
}

// What must be the same for all recordings of a set.
ordered_json settings_of(const CurateOptions& options, const CurateTools& tools) {
  return {{"min_seconds", options.min_seconds},
          {"max_seconds", options.max_seconds},
          {"pause", options.pause},
          {"margin", options.margin},
          {"min_confidence", options.min_confidence},
          {"recognizer", tools.recognizer ? tools.recognizer->name() : ""},
          {"speaker_encoder", tools.speaker ? tools.speaker->name() : ""}};
}

struct Found {
  std::map<std::string, RecordingState> states;
  int64_t taken = 0, known = 0;
  ordered_json refused = ordered_json::array();
};

// The recordings that are not known yet, one after the other; each is kept as soon as it is done.
Found take_all(const FoundRecordings& found, const Transcripts& transcripts, CurateTools& tools,
               const CurateOptions& options, const CurateState& store) {
  Found result;
  result.states = store.load();
  std::map<std::string, std::string> names;  // by hash
  for (const auto& [name, state] : result.states) names.emplace(state.hash, name);
  Progress progress("curate", std::ssize(found.recordings), "recordings");
  for (const SourceRecording& recording : found.recordings) {
    if (const int signal = stop_signal()) throw Stopped{signal};
    const std::string hash = hash_file(recording.file);
    const auto before = result.states.find(recording.name);
    if (before != result.states.end() && before->second.hash == hash) {
      ++result.known;
      progress.advance();
      continue;
    }
    if (const auto twin = names.find(hash); twin != names.end()) {
      ++result.known;
      log_info(recording.name, " is the same recording as ", twin->second);
      progress.advance();
      continue;
    }
    try {
      const auto transcript = transcripts.of(recording);
      if (transcript && !transcript->ignored.empty())
        log_warning(transcript->file.filename().string(), ": ", transcript->ignored.size(),
                    " cues are not used (first: ", transcript->ignored.front(), ")");
      if (before != result.states.end()) {
        log_warning(recording.name, " has changed: its clips are made anew");
        forget_recording(before->second, options.out);
      }
      RecordingState state =
          take_recording(recording, transcript, tools, options, options.out / "wavs");
      state.name = recording.name;
      state.file = fs::absolute(recording.file).string();
      state.hash = hash;
      state.speaker = options.speaker;
      store.save(state);
      names.emplace(hash, state.name);
      result.states[state.name] = std::move(state);
      ++result.taken;
    } catch (const DataError& error) {
      log_warning("not used: ", error.what());
      result.refused.push_back({{"recording", recording.name}, {"reason", error.what()}});
    }
    progress.advance(1, recording.name);
  }
  progress.finish();
  return result;
}

std::optional<VoiceScale> voice_scale(CurateTools& tools, const CurateOptions& options) {
  if (!tools.speaker) return std::nullopt;
  VoiceScale scale{tools.speaker->same_speaker(), std::nullopt};
  if (options.voice.empty()) return scale;
  const VoiceVector vector = tools.speaker->embed({decode_audio(options.voice).audio}).front();
  if (vector.empty())
    throw DataError("too short to tell whose voice it is", options.voice.string(),
                    "give a few seconds of one speaker");
  scale.wanted = vector;
  return scale;
}

ordered_json plan(const FoundRecordings& found, const Transcripts& transcripts,
                  const CurateOptions& options) {
  ordered_json recordings = ordered_json::array();
  const auto states = CurateState(options.out).load();
  for (const SourceRecording& recording : found.recordings) {
    const auto transcript = transcripts.of(recording);
    recordings.push_back({{"recording", recording.name},
                          {"texts", transcript ? transcript->format : "recogniser"},
                          {"new", !states.contains(recording.name)}});
  }
  return {{"out", options.out.string()}, {"recordings", recordings}};
}

}  // namespace

ordered_json run_curate(const CurateOptions& options) {
  check(options);
  const FoundRecordings found = find_recordings(options.recordings, options.out);
  if (!found.others.empty())
    log_info(found.others.size(), " files that are no recordings are left alone (",
             found.others.front(), found.others.size() > 1 ? ", ...)" : ")");
  Transcripts transcripts;
  if (!options.transcripts.empty())
    transcripts = Transcripts(options.transcripts, found.recordings.size());
  if (options.dry_run) return plan(found, transcripts, options);

  CurateTools tools = open_tools(options);
  const FolderLock lock(options.out);
  const CurateState store(options.out);
  store.settle(settings_of(options, tools));
  fs::create_directories(options.out / "wavs");
  Found all = take_all(found, transcripts, tools, options, store);
  if (all.states.empty())
    throw DataError("no recording could be used", options.out.string(),
                    all.refused.empty() ? "" : all.refused.front()["reason"].get<std::string>());
  ordered_json result = {{"out", options.out.string()},
                         {"recordings", all.states.size()},
                         {"new", all.taken},
                         {"unchanged", all.known}};
  result.update(write_tables(all.states, voice_scale(tools, options), options, store));
  result["refused"] = all.refused;
  result["recognizer"] = tools.recognizer ? tools.recognizer->name() : "";
  result["speaker_encoder"] = tools.speaker ? tools.speaker->name() : "";
  result["review"] = (options.out / "review.html").string();
  if (result["clips"] == 0)
    throw DataError("no clip is left of " + std::to_string(all.states.size()) + " recordings",
                    (options.out / "dropped.jsonl").string(), "each reason is there");
  return result;
}

}  // namespace ttsft
