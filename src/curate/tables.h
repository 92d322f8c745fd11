// The tables that people and prep read, made of what was found: who speaks is settled here, over
// all recordings at once.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "state.h"
#include "ttsft/curate/curate.h"

namespace ttsft {

struct VoiceScale {
  double same = 0;                    // likeness above which two clips are of one speaker
  std::optional<VoiceVector> wanted;  // of --voice
};

// Gives the clips of recordings that are not listed yet to metadata.csv, dropped.jsonl and, with
// all others, to review.html, and marks them listed. Rows of earlier calls stay as they are: what
// people corrected, or took out, is theirs. No scale: voices are not told apart.
nlohmann::ordered_json write_tables(std::map<std::string, RecordingState>& states,
                                    const std::optional<VoiceScale>& scale,
                                    const CurateOptions& options, const CurateState& store);

// Takes a recording's rows, lines and clips out: it is another one now.
void forget_recording(const RecordingState& state, const std::filesystem::path& out);

}  // namespace ttsft
