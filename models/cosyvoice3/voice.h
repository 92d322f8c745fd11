// Whose voice is spoken: of a recording, or of an entry of spk2info.pt. Upstream:
// cosyvoice/cli/frontend.py (frontend_zero_shot, frontend_sft, add_zero_shot_spk).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/cosyvoice3/text.h"
#include "ttsft/codec/s3_voice.h"

namespace ttsft::cosyvoice3 {

struct Voice {
  S3Voice flow;                      // codes and mel that the flow continues, and the vector
  std::vector<int64_t> prompt_text;  // of a stored prompt, in ids; empty: none is stored
};

// data.reference. DataError: shorter than the networks need, a rate below 16 kHz.
Voice voice_of_recording(const std::filesystem::path& recording,
                         const std::filesystem::path& checkpoint, SegmentMean pool,
                         torch::Device device);

// The names in spk2info.pt.
std::vector<std::string> stored_voices(const std::filesystem::path& checkpoint);
// An entry: all of a stored prompt, or with vector_only its vector and an empty prompt. UsageError
// names those there are; DataError: an entry of another form.
Voice stored_voice(const std::filesystem::path& checkpoint, const std::string& name,
                   bool vector_only, int64_t mels);

}  // namespace ttsft::cosyvoice3
