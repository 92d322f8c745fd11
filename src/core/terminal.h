// What the log and the progress line must know of each other: both write to stderr.
#pragma once

#include <atomic>

namespace ttsft::terminal {

// True while a progress line without its line end stands on the terminal; the next log line then
// clears it first.
inline std::atomic<bool> line_open{false};

inline constexpr const char* kClearLine = "\r\033[K";

}  // namespace ttsft::terminal
