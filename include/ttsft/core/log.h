// Logging for people: stderr, and the run folder's log.txt. Results never go through here.
// spdlog stays behind this header: LibTorch brings another version of the fmt library, and both
// cannot be included.
#pragma once

#include <filesystem>
#include <sstream>
#include <string>

namespace ttsft {

enum class LogLevel { kInfo, kWarning, kError };

// quiet keeps warnings and errors only. Call once, from main.
void init_logging(bool quiet);

// From now on every line also goes to this file (appended, with time), whatever the level on
// stderr.
void log_to_file(const std::filesystem::path& file);

void log_line(LogLevel level, const std::string& text);

namespace detail {
template <class... Parts>
std::string concatenate(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}
}  // namespace detail

// log_info("step ", step, " of ", steps)
template <class... Parts>
void log_info(const Parts&... parts) {
  log_line(LogLevel::kInfo, detail::concatenate(parts...));
}
template <class... Parts>
void log_warning(const Parts&... parts) {
  log_line(LogLevel::kWarning, detail::concatenate(parts...));
}
template <class... Parts>
void log_error(const Parts&... parts) {
  log_line(LogLevel::kError, detail::concatenate(parts...));
}

}  // namespace ttsft
