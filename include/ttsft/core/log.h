// Logging for people: stderr, and the run folder's log.txt. Results never go through here.
#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>

namespace ttsft {

// Use spdlog::info / warn / error directly; this sets where they go. quiet keeps warnings and errors only.
void init_logging(bool quiet);

// From now on every line also goes to this file (appended), whatever the level on stderr.
void log_to_file(const std::filesystem::path& file);

}  // namespace ttsft
