#include <array>
#include <cstdio>
#include <sstream>

#include "src/cli/inspect.h"
#include "ttsft/core/progress.h"
#include "ttsft/model/voices.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

// "1,928,677,440"
std::string thousands(int64_t n) {
  std::string text = std::to_string(n);
  for (auto i = static_cast<int64_t>(text.size()) - 3; i > 0; i -= 3) {
    text.insert(static_cast<size_t>(i), 1, ',');
  }
  return text;
}

std::string bytes_text(double bytes) {
  constexpr std::array kUnits = {"bytes", "KB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits.at(unit));
  return text;
}

// A string without its quotes, a list with commas.
std::string plain(const ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const ordered_json& item : value) text += (text.empty() ? "" : ", ") + plain(item);
  return text;
}

void describe_weights(const ordered_json& files, std::ostream& out) {
  for (const ordered_json& file : files) {
    out << "  " << plain(file["file"]) << ": " << file["tensors"] << " tensors, "
        << thousands(file["values"].get<int64_t>()) << " values, "
        << bytes_text(file["bytes"].get<double>());
    for (const auto& [dtype, count] : file["dtypes"].items()) out << ", " << count << " " << dtype;
    out << "\n";
  }
}

void describe_abilities(const ordered_json& can, std::ostream& out) {
  const auto yes = [&](const char* key) { return can[key].get<bool>() ? "yes" : "no"; };
  out << "  trains " << plain(can["stages"]) << "; encodes recordings: " << yes("encode_audio")
      << ", clones a voice: " << yes("clone") << ", streams: " << yes("stream");
  if (!plain(can["why_not"]).empty()) out << " (" << plain(can["why_not"]) << ")";
  out << "\n";
}

void describe_adapter(const ordered_json& found, std::ostream& out) {
  out << "  rank " << found["rank"] << ", alpha " << found["alpha"]
      << (found["rslora"].get<bool>() ? " (rank-stabilised)" : "") << ": scaled by "
      << found["scaling"] << "; dropout " << found["dropout"] << "\n"
      << "  on " << found["modules"] << " modules: " << plain(found["targets"]) << "\n";
  if (found["incomplete_modules"] > 0) {
    out << "  " << found["incomplete_modules"] << " modules lack A or B\n";
  }
  const std::string base = plain(found["base"]);
  out << "  base: " << (base.empty() ? "not named" : base) << "\n";
  describe_weights(found["weights"], out);
}

void describe_prepared(const ordered_json& found, std::ostream& out) {
  if (!found.contains("model")) {
    out << "  prep has not finished; run it again, it continues\n";
    return;
  }
  out << "  for " << plain(found["model"]);
  if (found.contains("tool")) out << ", by " << plain(found["tool"]);
  if (found.contains("source")) {
    out << ", from " << plain(found["source"]["path"]) << " (" << plain(found["source"]["format"])
        << ")";
  }
  out << "\n  " << found["train"] << " clips to train, " << found["validation"]
      << " to validate, together " << clock_text(found["seconds"].get<double>()) << "\n";
  if (found.contains("speakers"))
    out << "  speakers: " << describe_voices(voices_of(found["speakers"])) << "\n";
  if (found.contains("totals")) out << "  " << found["totals"]["rejected"] << " rejected\n";
  if (found.contains("rates")) {
    const ordered_json& rates = found["rates"];
    out << "  encoder " << rates["encoder_in"] << " Hz, output " << rates["codec_out"]
        << " Hz, speaker encoder " << rates["speaker_encoder"] << " Hz\n";
    for (const auto& [rate, count] : found["resampled"].items()) {
      out << "  " << count << " clips resampled from " << rate << " Hz\n";
    }
    for (const auto& [guard, count] : found["guards"].items()) {
      out << "  guard " << guard << ": " << count["refused"] << " refused, " << count["warned"]
          << " warned of\n";
    }
  }
  if (found["unfinished_prep"].get<bool>()) {
    out << "  a later prep has not finished; run it again to renew the set\n";
  }
}

void describe_run(const ordered_json& found, std::ostream& out) {
  if (found["checkpoints"].empty()) out << "  no checkpoint yet\n";
  for (const ordered_json& checkpoint : found["checkpoints"]) {
    out << "  " << plain(checkpoint["name"]) << " (" << plain(checkpoint["kind"]) << ")"
        << (checkpoint["step"] == found["best_step"] ? ", the best by validation" : "") << "\n";
  }
}

void describe_tensors(const ordered_json& found, std::ostream& out) {
  describe_weights(found["weights"], out);
  for (const ordered_json& tensor : found["tensors"]) {
    out << "  " << plain(tensor["name"]) << " " << plain(tensor["dtype"]) << " "
        << tensor["shape"].dump() << "\n";
  }
  if (!found.contains("values")) return;
  for (const ordered_json& value : found["values"]) {
    out << "  " << plain(value["name"]) << " = " << value["value"].dump() << "\n";
  }
}

}  // namespace

std::string describe_inspection(const ordered_json& found) {
  std::ostringstream out;
  const std::string kind = plain(found["kind"]);
  out << plain(found["path"]) << ": " << (kind == "checkpoint" ? plain(found["description"]) : kind)
      << "\n";
  if (kind == "checkpoint") {
    describe_abilities(found["abilities"], out);
    describe_weights(found["weights"], out);
  }
  if (kind == "adapter") describe_adapter(found, out);
  if (kind == "prepared set") describe_prepared(found, out);
  if (kind == "run") describe_run(found, out);
  if (kind == "tensors") describe_tensors(found, out);
  return out.str();
}

}  // namespace ttsft
