// metrics.jsonl and the TensorBoard file of a run.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tensorboard.h"

namespace ttsft {

class MetricsLog {
 public:
  // Rows after last_step are of a run that was cut short behind its last checkpoint, and will be
  // written anew: they are removed. -1 begins a new file.
  MetricsLog(const std::filesystem::path& run, int64_t last_step);

  // Writes one line at once; all its numbers also go to TensorBoard, under train/ or validation/.
  void write(const nlohmann::ordered_json& row);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
  EventFile events_;
};

// Rows of metrics.jsonl; none where there is no file. A torn last line is left out.
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& run);

}  // namespace ttsft
