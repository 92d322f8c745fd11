#include "models/chatterbox/length_report.h"

#include <algorithm>

#include "models/chatterbox/clips.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/safetensors.h"

namespace ttsft::chatterbox {
namespace {

constexpr double kOdd = 3;              // times the median, or the median times
constexpr size_t kShown = 5;            // ids in the log
constexpr size_t kFewestForMedian = 8;  // fewer clips say nothing about what is usual

}  // namespace

std::vector<ClipLengths> clip_lengths(const std::vector<Utterance>& rows,
                                      const std::filesystem::path& folder) {
  std::vector<ClipLengths> lengths;
  for (const Utterance& row : rows) {
    const SafetensorsReader file = SafetensorsReader::open(folder / clip_file(row.id));
    lengths.push_back(
        {shape_size(file.at("speech_codes").shape), shape_size(file.at("text_ids").shape)});
  }
  return lengths;
}

nlohmann::ordered_json report_lengths(const std::vector<Utterance>& rows,
                                      const std::vector<ClipLengths>& lengths) {
  int64_t text = 0, speech = 0;
  std::vector<double> rates;
  for (const ClipLengths& clip : lengths) {
    text += clip.text + 1;
    speech += clip.codes + 1;
    rates.push_back(static_cast<double>(clip.codes) /
                    static_cast<double>(std::max<int64_t>(1, clip.text)));
  }
  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted.empty() ? 0 : sorted[sorted.size() / 2];
  std::vector<std::string> odd;
  for (size_t i = 0; i < rows.size() && rows.size() >= kFewestForMedian; ++i)
    if (rates[i] > kOdd * median || rates[i] * kOdd < median) odd.push_back(rows[i].id);
  log_info("labels: ", speech, " of speech and ", text, " of text in ", rows.size(), " clips");
  if (!odd.empty()) {
    std::vector<std::string> shown(
        odd.begin(), odd.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, odd.size())));
    log_warning(odd.size(), " clips are far too long or short for their text (", join(shown, ", "),
                odd.size() > kShown ? ", ..." : "", "): are these their transcripts?");
  }
  return {{"text", text}, {"speech", speech}, {"codes_per_text_token", median}, {"odd", odd}};
}

}  // namespace ttsft::chatterbox
