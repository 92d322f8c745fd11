// The formats of transcripts, one function each; transcripts.cpp checks what they give.
#pragma once

#include <optional>
#include <string>

#include "ttsft/data/transcripts.h"

namespace ttsft {

std::optional<double> seconds_of_text(const std::string& text);  // "12.5"; finite

Transcript subtitle_transcript(const std::filesystem::path& file);  // SRT, WebVTT
Transcript textgrid_transcript(const std::filesystem::path& file);
Transcript whisper_transcript(const std::filesystem::path& file);

}  // namespace ttsft
