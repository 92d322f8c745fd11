#include "models/voxtral/clips.h"

#include <algorithm>

#include "models/voxtral/codes.h"
#include "ttsft/core/error.h"

namespace ttsft::voxtral {
namespace {

int64_t frames_in(double seconds, const CodecConfig& codec) {
  return static_cast<int64_t>(seconds * codec.frame_rate());
}

}  // namespace

Clips::Clips(PreparedRows rows, Config config)
    : rows_(std::move(rows)), config_(std::move(config)) {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const PreparedRow row = rows_[i];
    Clip clip{i, row.row.value("n_frames", int64_t{0}), row.row.value("speaker", "")};
    speakers_[clip.speaker].push_back(row.id);
    clips_.emplace(row.id, std::move(clip));
  }
}

torch::Tensor Clips::codes(const std::string& id, const std::string& where) const {
  const auto clip = clips_.find(id);
  if (clip == clips_.end())
    throw DataError("its voice is clip '" + id + "', which the set has not", where,
                    "name another in `ref`, or prepare that clip too");
  const PreparedRow row = rows_[clip->second.row];
  const auto codes = row.row.find("codes");
  if (codes == row.row.end() || codes->is_null())
    throw DataError("the row has no codes", "utterance " + id,
                    "run ttsft prep again, with voxtral.codes: auto or invert");
  return codes_of_row(*codes, config_, {}, "utterance " + id);
}

std::vector<std::string> Clips::others(const std::string& id) const {
  std::vector<std::string> ids = speakers_.at(clips_.at(id).speaker);
  std::erase(ids, id);
  return ids;
}

std::string Clips::representative(const std::string& speaker) const {
  const int64_t least = frames_in(kLeastVoice, config_.codec),
                most = frames_in(kMostVoice, config_.codec);
  std::string best;
  const auto better = [&](int64_t a, int64_t b) {  // of two lengths
    const bool fits_a = a >= least && a <= most, fits_b = b >= least && b <= most;
    return fits_a != fits_b ? fits_a : a > b;
  };
  for (const auto& [name, ids] : speakers_) {
    if (!speaker.empty() && name != speaker) continue;
    for (const std::string& id : ids)
      if (best.empty() || better(frames(id), frames(best))) best = id;
  }
  return best;
}

torch::Tensor cut_voice(const torch::Tensor& codes, const CodecConfig& codec) {
  return codes.narrow(0, 0, std::min(codes.size(0), frames_in(kMostVoice, codec)));
}

}  // namespace ttsft::voxtral
