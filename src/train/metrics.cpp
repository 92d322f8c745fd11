#include "metrics.h"

#include <string_view>

#include "ttsft/core/error.h"
#include "ttsft/io/atomic_file.h"

namespace ttsft {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kMetricsFile = "metrics.jsonl";

fs::path truncated(const fs::path& run, int64_t last_step) {
  std::string kept;
  for (const ordered_json& row : read_metrics(run)) {
    if (row.at("step").get<int64_t>() <= last_step) kept += row.dump() + "\n";
  }
  write_text_atomic(run / kMetricsFile, kept);
  return run / kMetricsFile;
}

// "loss_terms": {"talker": 1} -> loss_terms/talker; items of a list by their number.
void flatten(const ordered_json& value, const std::string& name,
             std::map<std::string, double>& out) {
  if (value.is_number()) out[name] = value.get<double>();
  if (!value.is_structured()) return;
  for (const auto& [key, inner] : value.items()) flatten(inner, name + "/" + key, out);
}

}  // namespace

std::vector<ordered_json> read_metrics(const fs::path& run) {
  std::vector<ordered_json> rows;
  if (!fs::exists(run / kMetricsFile)) return rows;
  const std::string text = read_text(run / kMetricsFile);
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    if (end == rest.npos) break;
    ordered_json row = ordered_json::parse(rest.substr(0, end), nullptr, /*exceptions=*/false);
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer()) {
      throw DataError("line " + std::to_string(rows.size() + 1) + " is no row of metrics",
                      (run / kMetricsFile).string(),
                      "restore the file, or train in another folder");
    }
    rows.push_back(std::move(row));
    rest.remove_prefix(end + 1);
  }
  return rows;
}

MetricsLog::MetricsLog(const fs::path& run, int64_t last_step)
    : file_(truncated(run, last_step)),
      stream_(file_, std::ios::binary | std::ios::app),
      events_(run / "tensorboard", last_step + 1) {}

void MetricsLog::write(const ordered_json& row) {
  stream_ << row.dump() << "\n";
  stream_.flush();
  if (!stream_) throw RunError("cannot write the metrics", file_.string(), "is the disk full?");
  std::map<std::string, double> scalars;
  const std::string group = row.contains("loss") ? "train/" : "validation/";
  for (const auto& [key, value] : row.items()) {
    if (key != "step") flatten(value, group + key, scalars);
  }
  events_.scalars(row.at("step").get<int64_t>(), scalars);
}

}  // namespace ttsft
