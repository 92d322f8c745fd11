// What a window of a long recording says, where the next window begins, and
// whether a text goes round in circles. Source: openai/whisper (MIT),
// whisper/transcribe.py, whisper/utils.py (compression_ratio).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ttsft {

struct WindowText {
  std::vector<int64_t> text; // text tokens of the stretches that are kept
  int64_t frames = 0; // of 10 ms, at least 1: how far on the next window begins
};

// tokens: of a window with timestamps, without the end token; ids from
// first_timestamp on are timestamps, ids below `end` text. frames: of the
// recording in this window. What follows the last pair of timestamps is left
// for the next window, which begins there; a stretch without length is none.
WindowText read_window(std::span<const int64_t> tokens, int64_t end,
                       int64_t first_timestamp, int64_t frames);

// Bytes of UTF-8 over the bytes that deflate makes of them with zlib's header
// and checksum, as upstream measures repetition: above 2.4 a text is not to be
// trusted. Counted, not written: one block, literals and matches as zlib's
// longest match finds them, in the cheaper of fixed codes and codes of their
// own.
double compression_ratio(std::string_view text);

} // namespace ttsft
