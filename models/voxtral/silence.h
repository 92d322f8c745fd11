// Weights of frames in the loss by whether somebody speaks. The paper (section 3.2) weighs frames
// without speech less, and those of long silences not at all; it gives no numbers, and these are
// ours.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ttsft::voxtral {

// Of a wave at 24 kHz, one for each of its frames of `hop` samples: 1 for speech, `weight` for
// frames 40 dB below the clip's loudest one, 0 for those of silences of more than 2 s.
std::vector<double> silence_weights(std::span<const float> wave, int64_t hop, double weight);

}  // namespace ttsft::voxtral
