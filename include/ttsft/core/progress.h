// Progress of a long step on stderr: count, rate, time left. Silent when quiet or when nothing is
// watching.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace ttsft {

// "encode: 120/1000 clips, 35.2/s, 0:25 left, note"; at_end drops what is left and gives the time
// taken.
std::string progress_text(const std::string& label, int64_t done, int64_t total,
                          const std::string& unit, double seconds, const std::string& note,
                          bool at_end);

// 75 -> "1:15", 3675 -> "1:01:15".
std::string clock_text(double seconds);

// On a terminal one line is redrawn 5 times a second; elsewhere a line is written every 15 seconds.
class Progress {
 public:
  Progress(std::string label, int64_t total, std::string unit);  // total 0: unknown
  ~Progress();
  void advance(int64_t n = 1,
               const std::string& note = {});  // thread-safe; note follows the numbers
  void finish();

  static void set_quiet(bool quiet);

 private:
  void draw(bool last);

  std::string label_, unit_, note_;
  int64_t total_ = 0, done_ = 0;
  std::chrono::steady_clock::time_point start_, drawn_;
  bool terminal_ = false, finished_ = false;
  std::mutex mutex_;
};

}  // namespace ttsft
