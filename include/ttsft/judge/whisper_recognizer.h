// Whisper as a recogniser.
#pragma once

#include <filesystem>
#include <memory>

#include "ttsft/judge/recognizer.h"

namespace ttsft {

// A folder that is_whisper_folder() (judge/whisper_files.h) knows. float32 on
// the CPU, float16 on a GPU. Clips up to a window's length (30 s) are written
// down without timestamps, many at a time; longer ones window by window, each
// beginning at the last timestamp of the one before, many clips at a time and
// without the text of earlier windows as a prompt. A window is empty where
// nobody is likelier to speak than 0.6 to 0.4 and the mean log-probability of
// its tokens is below -1; a text is marked as repetitive where a window of it
// compresses by more than 2.4. The confidence is the mean over text and end
// tokens of all windows. At most half of the decoder's positions are new tokens
// of a window. Source: openai/whisper (MIT), whisper/transcribe.py, and its
// defaults.
//
// UsageError: a language that the model does not know, less than one beam.
// DataError: a file that is missing or damaged.
std::unique_ptr<Recognizer>
open_whisper_recognizer(const std::filesystem::path &folder,
                        const RecognizerOptions &options = {});

} // namespace ttsft
