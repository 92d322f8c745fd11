// Silence at both ends of a clip, found as librosa.effects.trim does.
#pragma once

#include <cstddef>
#include <span>

namespace ttsft {

struct TrimOptions {
  double top_db = 60;              // frames that far below the loudest one are silent
  size_t frame = 2048, hop = 512;  // samples; frames are centred, with zeros beyond the ends
};

struct SampleRange {
  size_t begin = 0, end = 0;
  size_t size() const { return end - begin; }
};

// From the first to the last frame that is not silent, in whole hops; a clip of zeros is kept, as
// all its frames are equally loud. Levels below 1e-5 count as 1e-5.
SampleRange trim_range(std::span<const float> samples, const TrimOptions& options = {});

}  // namespace ttsft
