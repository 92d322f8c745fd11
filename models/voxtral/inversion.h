// Codes of a recording without an encoder: by gradient through the frozen decoder (specification
// section 9.3). First numbers that sound like it, then, with a straight-through estimator, numbers
// that are codes.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "models/voxtral/codec.h"

namespace ttsft::voxtral {

struct InversionOptions {
  int64_t steps = 600;         // a third of them with codes
  double window_seconds = 20;  // that are found together
  int64_t overlap = 25;        // frames before a window, which it hears and does not keep
};

struct InvertedClip {
  torch::Tensor codes;  // [ceil(N / 1920), 37], int64, on the CPU
  double error = 0;     // spectral_error() of what they sound like
};

// Waves at 24 kHz [N]; each clip as it would be alone. The codec's encoder, where it has one, gives
// the place to start from.
std::vector<InvertedClip> invert(Codec& codec, const std::vector<torch::Tensor>& waves,
                                 const InversionOptions& options);

}  // namespace ttsft::voxtral
