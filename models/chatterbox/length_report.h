// Label counts of a prepared set, and the clips whose codes and text do not belong together.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "ttsft/data/utterance.h"

namespace ttsft::chatterbox {

struct ClipLengths {
  int64_t codes = 0, text = 0;  // without start and stop
};
// Of every row's clip in a prepared folder, in order; reads the headers of the files only.
std::vector<ClipLengths> clip_lengths(const std::vector<Utterance>& rows,
                                      const std::filesystem::path& folder);

// {"text": labels, "speech": labels, "codes_per_text_token": median, "odd": [ids]}. A clip with
// three times or a third of the median is named in the log: its transcript is likely another's.
nlohmann::ordered_json report_lengths(const std::vector<Utterance>& rows,
                                      const std::vector<ClipLengths>& lengths);

}  // namespace ttsft::chatterbox
