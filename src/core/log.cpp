#include "ttsft/core/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "src/core/terminal.h"
#include "ttsft/core/error.h"
#include "ttsft/core/progress.h"

namespace ttsft {
namespace {

using FileSink = spdlog::sinks::basic_file_sink_mt;

void append(spdlog::memory_buf_t& out, std::string_view text) {
  out.append(text.data(), text.data() + text.size());
}

// Removes an unfinished progress line before a log line is written over it.
class ClearFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg&, const std::tm&, spdlog::memory_buf_t& out) override {
    if (terminal::line_open.exchange(false)) append(out, terminal::kClearLine);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<ClearFlag>();
  }
};

// "warning: " or "error: "; plain lines need no word.
class LevelFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    if (message.level == spdlog::level::warn) append(out, "warning: ");
    if (message.level >= spdlog::level::err) append(out, "error: ");
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelFlag>();
  }
};

void set_default(std::vector<spdlog::sink_ptr> sinks) {
  auto logger = std::make_shared<spdlog::logger>("ttsft", sinks.begin(), sinks.end());
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::info);  // few lines, and the last one matters after a crash
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void init_logging(bool quiet) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<ClearFlag>('!').add_flag<LevelFlag>('*').set_pattern("%!%^%*%$%v");
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();  // colour on a terminal only
  sink->set_formatter(std::move(formatter));
  sink->set_level(quiet ? spdlog::level::warn : spdlog::level::info);
  set_default({std::move(sink)});
  Progress::set_quiet(quiet);
}

void log_to_file(const std::filesystem::path& file) {
  std::shared_ptr<FileSink> added;
  try {
    added = std::make_shared<FileSink>(file.string());
  } catch (const spdlog::spdlog_ex& e) {
    throw RunError("cannot write the log", e.what());
  }
  added->set_level(spdlog::level::info);
  added->set_pattern("%Y-%m-%d %H:%M:%S %l: %v");
  // The logger lets everything pass from now on, so each older sink takes over the logger's limit.
  const auto old = spdlog::default_logger();
  std::vector<spdlog::sink_ptr> sinks;
  for (const auto& sink : old->sinks()) {
    if (std::dynamic_pointer_cast<FileSink>(sink)) continue;  // one log file at a time
    sink->set_level(std::max(sink->level(), old->level()));
    sinks.push_back(sink);
  }
  sinks.push_back(std::move(added));
  set_default(std::move(sinks));
}

void log_line(LogLevel level, const std::string& text) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::info, spdlog::level::warn,
                                                   spdlog::level::err};
  spdlog::default_logger()->log(kLevels[static_cast<int>(level)], spdlog::string_view_t(text));
}

}  // namespace ttsft
