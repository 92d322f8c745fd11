// The log-mel by which S3Gen continues a reference. Upstream: chatterbox 0.1.7,
// models/s3gen/utils/mel.py.
#pragma once

#include "ttsft/features/mel.h"

namespace ttsft::chatterbox {

// 24 kHz, 50 frames/s: floor(samples / 480) of them, two per speech code.
MelOptions decoder_mel_options(int64_t mels = 80);

}  // namespace ttsft::chatterbox
