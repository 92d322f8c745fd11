// How long the clips of a set are, for the reports.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace ttsft {

struct LengthSummary {
  double total = 0;  // seconds
  // {"shortest", "median", "longest", "histogram": [{"below_seconds", "clips"}]}; the last bar has
  // no limit (null). Empty for no clips.
  nlohmann::ordered_json json;
};
// The clips whose letters per second are three times above or below the set's median, each with a
// line about it. Of fewer than eight clips nothing can be told.
std::map<size_t, std::string> far_rates(const std::map<size_t, double>& letters_per_second);

LengthSummary length_summary(const std::map<size_t, double>& seconds_by_clip);

}  // namespace ttsft
