// Where the content of a recording ends in frequency.
#pragma once

#include <span>

namespace ttsft {

// Highest frequency (Hz) that carries content. A steep step down to a floor, as a resampler or a
// lossy codec leaves it, gives its place; where there is none, content is taken to reach up to half
// the rate. 0 for silence.
double content_bandwidth(std::span<const float> samples, int sample_rate);

}  // namespace ttsft
