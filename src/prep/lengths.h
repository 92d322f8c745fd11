// How long the clips of a set are, for the reports.
#pragma once

#include <map>
#include <nlohmann/json.hpp>

namespace ttsft {

struct LengthSummary {
  double total = 0;  // seconds
  // {"shortest", "median", "longest", "histogram": [{"below_seconds", "clips"}]}; the last bar has
  // no limit (null). Empty for no clips.
  nlohmann::ordered_json json;
};
LengthSummary length_summary(const std::map<size_t, double>& seconds_by_clip);

}  // namespace ttsft
