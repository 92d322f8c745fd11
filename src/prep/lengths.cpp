#include "src/prep/lengths.h"

#include <algorithm>
#include <array>
#include <vector>

namespace ttsft {

std::map<size_t, std::string> far_rates(const std::map<size_t, double>& letters_per_second) {
  constexpr size_t kEnough = 8;
  constexpr double kFar = 3;
  std::map<size_t, std::string> far;
  if (letters_per_second.size() < kEnough) return far;
  std::vector<double> sorted;
  for (const auto& [clip, rate] : letters_per_second) sorted.push_back(rate);
  const auto middle = sorted.begin() + std::ssize(sorted) / 2;
  std::nth_element(sorted.begin(), middle, sorted.end());
  for (const auto& [clip, rate] : letters_per_second) {
    if (rate <= kFar * *middle && kFar * rate >= *middle) continue;
    char text[160];
    std::snprintf(text, sizeof text,
                  "%.1f letters per second, the set's median is %.1f: is this its transcript, and "
                  "all of it?",
                  rate, *middle);
    far[clip] = text;
  }
  return far;
}

LengthSummary length_summary(const std::map<size_t, double>& seconds_by_clip) {
  LengthSummary summary;
  summary.json = nlohmann::ordered_json::object();
  if (seconds_by_clip.empty()) return summary;
  std::vector<double> sorted;
  for (const auto& [number, seconds] : seconds_by_clip) {
    sorted.push_back(seconds);
    summary.total += seconds;
  }
  std::sort(sorted.begin(), sorted.end());
  summary.json["shortest"] = sorted.front();
  summary.json["median"] = sorted[sorted.size() / 2];
  summary.json["longest"] = sorted.back();
  constexpr std::array kLimits = {1, 2, 4, 8, 15, 30};  // seconds
  auto begin = sorted.begin();
  nlohmann::ordered_json bars = nlohmann::ordered_json::array();
  for (const int limit : kLimits) {
    const auto end = std::lower_bound(begin, sorted.end(), static_cast<double>(limit));
    bars.push_back({{"below_seconds", limit}, {"clips", end - begin}});
    begin = end;
  }
  bars.push_back({{"below_seconds", nullptr}, {"clips", sorted.end() - begin}});
  summary.json["histogram"] = std::move(bars);
  return summary;
}

}  // namespace ttsft
