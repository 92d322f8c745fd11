// One recording to clips: decode, level, find speech, cut, measure, recognise.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "sources.h"
#include "state.h"
#include "ttsft/curate/curate.h"
#include "ttsft/judge/recognizer.h"
#include "ttsft/judge/speaker_encoder.h"
#include "ttsft/judge/voice_activity.h"

namespace ttsft {

struct CurateTools {
  SileroVad vad{nullptr};
  std::unique_ptr<Recognizer> recognizer;   // null: texts come from transcripts alone
  std::unique_ptr<SpeakerEncoder> speaker;  // null: voices are not told apart
};

// Writes the clips that can be heard to `wavs`. The state has no name, file or hash yet. DataError:
// it cannot be used: unreadable, silent, channels that cancel out, no transcript and no recogniser.
RecordingState take_recording(const SourceRecording& recording,
                              const std::optional<Transcript>& transcript, CurateTools& tools,
                              const CurateOptions& options, const std::filesystem::path& wavs);

// Problems of clips that are set aside for people to hear; others are not worth the space.
bool is_worth_hearing(const std::string& problem);

}  // namespace ttsft
