// What synthesis takes from recordings: of the voice and, where another one is given, of the
// emotion. Source: index-tts v2.0.0, indextts/infer_v2.py (specification sections 4.2 and 10).
#pragma once

#include <torch/torch.h>

#include <filesystem>

#include "models/indextts2/options.h"
#include "models/indextts2/repcodec.h"
#include "models/indextts2/s2mel.h"

namespace ttsft::indextts2 {

struct Voice {
  torch::Tensor condition;  // [L, D], of the speaker
  torch::Tensor emotion;    // [D], blended or mixed as the options ask
  MelPrompt mel;
};

// A recording as librosa loads it: mono, resampled by soxr, its first 15 s. [N], full scale 1.
torch::Tensor load_prompt(const std::filesystem::path& file, int rate);

// The log-mel that the flow continues, [mels, floor(N / hop)]. Of a wave at the mel's rate.
torch::Tensor prompt_mel(const torch::Tensor& wave, const MelConfig& config);

// Reads the encoders, hears the recordings and lets the encoders go again. DataError: a recording
// that is too short, or a part of the checkpoint that is missing.
Voice make_voice(const Config& config, const Options& options,
                 const std::filesystem::path& recording, uint64_t seed, RepCodec& codec,
                 S2Mel& s2mel, torch::Device device);

}  // namespace ttsft::indextts2
