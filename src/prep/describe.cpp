#include <cstdio>
#include <sstream>

#include "ttsft/core/progress.h"
#include "ttsft/model/voices.h"
#include "ttsft/prep/prep.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

std::string seconds_text(const ordered_json& value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", value.get<double>());
  return text;
}

void describe_lengths(const ordered_json& lengths, std::ostream& out) {
  if (lengths.empty()) return;
  out << "lengths     " << seconds_text(lengths["shortest"]) << " to "
      << seconds_text(lengths["longest"]) << ", median " << seconds_text(lengths["median"]) << "\n";
  int64_t from = 0;
  for (const ordered_json& bar : lengths["histogram"]) {
    const ordered_json& limit = bar["below_seconds"];
    if (bar["clips"] > 0) {
      out << "            " << from << (limit.is_null() ? " s and more: " : " to ");
      if (!limit.is_null()) out << limit << " s: ";
      out << bar["clips"] << "\n";
    }
    if (!limit.is_null()) from = limit.get<int64_t>();
  }
}

void describe_guards(const ordered_json& guards, std::ostream& out) {
  for (const auto& [guard, count] : guards.items()) {
    out << "guard       " << guard << ": ";
    if (count["refused"] > 0) out << count["refused"] << " refused";
    if (count["refused"] > 0 && count["warned"] > 0) out << ", ";
    if (count["warned"] > 0) out << count["warned"] << " warned of";
    out << "\n";
  }
}

}  // namespace

std::string describe_prep(const ordered_json& result) {
  const bool dry = result.value("dry_run", false);
  const auto text = [&](const char* key) { return result[key].get<std::string>(); };
  std::ostringstream out;
  out << "prepared    " << text("prepared") << (dry ? " (dry run: nothing was written)" : "")
      << "\n"
      << "source      " << result["source"]["path"].get<std::string>() << " ("
      << result["source"]["format"].get<std::string>() << ")\n"
      << "clips       " << result["utterances"] << ": "
      << (dry ? result["to_encode"] : result["encoded"]) << (dry ? " to encode, " : " encoded, ")
      << result["reused"] << " reused, " << result["rejected"] << " rejected\n"
      << "audio       " << clock_text(result["seconds"].get<double>()) << "\n";
  out << "speakers    " << describe_voices(voices_of(result["speakers"])) << "\n";
  describe_lengths(result["lengths"], out);
  out << "split       " << result["train"] << " train, " << result["validation"] << " validation\n";
  for (const auto& [rate, count] : result["resampled"].items()) {
    out << "resampled   " << count << " of " << rate << " Hz to " << result["rates"]["encoder_in"]
        << " Hz\n";
  }
  describe_guards(result["guards"], out);
  return out.str();
}

}  // namespace ttsft
