// A reference voice as the flows of CosyVoice and Chatterbox continue it: the S3 tokenizer's codes,
// the log-mel that lies beside them, CAM++'s vector. Upstream: chatterbox 0.1.7, models/s3gen/
// s3gen.py (embed_ref); cosyvoice/cli/frontend.py (frontend_zero_shot).
#pragma once

#include <torch/torch.h>

#include "ttsft/codec/campplus.h"
#include "ttsft/codec/s3_tokenizer.h"
#include "ttsft/features/mel.h"

namespace ttsft {

inline constexpr int64_t kS3FlowRate = 24000;   // Hz, of the flow's mel
inline constexpr int64_t kS3FramesPerCode = 2;  // of that mel, 50 frames/s

// All on the CPU.
struct S3Voice {
  torch::Tensor prompt_token;  // [P] int64
  torch::Tensor prompt_feat;   // [F, mels], log-mel at 24 kHz
  torch::Tensor embedding;     // [192], as the network gives it, of any length
};

// Recordings whose length is no multiple of 40 ms have more codes than frames for them, or an odd
// number of frames.
enum class S3Alignment {
  kCutCodes,  // P = min(codes, F / 2), every frame stays (Chatterbox)
  kCutBoth,   // and F = 2 P (CosyVoice 3, and training: each code has its two frames)
};

void align_s3_voice(S3Voice& voice, S3Alignment alignment);

// floor(samples / 480) frames of 1920 samples. fmax in Hz, 0: half the rate (CosyVoice 3); 8000 in
// CosyVoice 2 and Chatterbox. Upstream: matcha/utils/audio.py;
// chatterbox/models/s3gen/utils/mel.py.
MelOptions s3_flow_mel_options(double fmax, int64_t mels = 80);

// One recording [N] at both rates, on any device; how it is resampled and how much of it is heard
// are the model's choice. DataError when it is too short.
S3Voice make_s3_voice(S3Tokenizer& tokenizer, Campplus& speaker, const MelExtractor& mel,
                      const torch::Tensor& wave16k, const torch::Tensor& wave24k,
                      S3Alignment alignment);

}  // namespace ttsft
