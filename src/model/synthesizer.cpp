#include "ttsft/model/synthesizer.h"

namespace ttsft {

std::vector<AcousticRow> Synthesizer::acoustic_rows(std::span<const SpokenSegment> segments) {
  std::vector<AcousticRow> rows;
  for (const SpokenSegment& segment : segments) {
    AcousticRow row;
    row.codes = segment.codes;
    row.seed = segment.seed;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace ttsft
