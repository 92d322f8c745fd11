#include "ttsft/core/progress.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>

#include "src/core/terminal.h"
#include "ttsft/core/log.h"

namespace ttsft {
namespace {

using std::chrono::steady_clock;
constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLine = std::chrono::seconds(15);

std::atomic<bool> quiet{false};

// Cuts to the width of the terminal, at a character's border: a wrapped line cannot be redrawn.
std::string fit_to_terminal(std::string text) {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return text;
  size_t end = std::min<size_t>(text.size(), size.ws_col - 1u);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  text.resize(end);
  return text;
}

std::string rate_text(double rate) {
  if (rate >= 100) return fmt::format("{:.0f}/s", rate);
  if (rate >= 1) return fmt::format("{:.1f}/s", rate);
  return fmt::format("{:.2g}/s", rate);
}

}  // namespace

std::string clock_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::clamp(seconds, 0.0, 1e12)));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string progress_text(const std::string& label, int64_t done, int64_t total,
                          const std::string& unit, double seconds, const std::string& note,
                          bool at_end) {
  std::string text = total > 0 ? fmt::format("{}: {}/{} {}", label, done, total, unit)
                               : fmt::format("{}: {} {}", label, done, unit);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  if (rate > 0) text += ", " + rate_text(rate);
  if (at_end) {
    text += fmt::format(", took {}", clock_text(seconds));
  } else if (rate > 0 && total > done) {
    text += fmt::format(", {} left", clock_text(static_cast<double>(total - done) / rate));
  }
  if (!note.empty()) text += ", " + note;
  return text;
}

Progress::Progress(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      start_(steady_clock::now()),
      drawn_(start_),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  finish();
}

void Progress::advance(int64_t n, const std::string& note) {
  const std::lock_guard lock(mutex_);
  done_ += n;
  note_ = note;
  const auto now = steady_clock::now();
  if (now - drawn_ < (terminal_ ? steady_clock::duration(kRedraw) : kLine)) return;
  drawn_ = now;
  draw(false);
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  draw(true);
}

void Progress::set_quiet(bool value) {
  quiet = value;
}

// A redrawn line goes to the terminal only; every other line is a log line and so reaches log.txt.
void Progress::draw(bool last) {
  if (quiet || !spdlog::should_log(spdlog::level::info)) return;
  const std::chrono::duration<double> elapsed = steady_clock::now() - start_;
  std::string text = progress_text(label_, done_, total_, unit_, elapsed.count(), note_, last);
  if (last || !terminal_) {
    log_line(LogLevel::kInfo, text);
    return;
  }
  text = fit_to_terminal(std::move(text));
  std::fprintf(stderr, "%s%s", terminal::kClearLine, text.c_str());
  std::fflush(stderr);
  terminal::line_open = true;
}

}  // namespace ttsft
