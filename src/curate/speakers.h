// Whose clips are kept, under which name.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "state.h"
#include "tables.h"

namespace ttsft {

// A clip of the recordings of one --speaker that has no problem so far.
struct SpokenClip {
  FoundClip* clip;
  std::string listed_as;  // its speaker in the table already; "": it is new
};

// Sets the speaker of every new clip, or its problem: stranger, overlap. Names of the transcript
// win; else the voice that speaks most is `name` ("speaker1" where it is empty), further ones up to
// options.speakers are "speaker2" and so on. Voices that the table has keep their names.
void name_speakers(std::vector<SpokenClip>& clips, const std::string& name,
                   const std::optional<VoiceScale>& scale, const CurateOptions& options);

}  // namespace ttsft
