// Complete checkpoints of Voxtral: the release's files, names and types.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "models/voxtral/codec.h"
#include "models/voxtral/modules.h"
#include "ttsft/model/write_weights.h"

namespace ttsft::voxtral {

// Every file of `base` in `out`: linked, but for the weights, which get the changes. `rounding`,
// where given, is added to.
void write_lm(const std::filesystem::path& base, const std::filesystem::path& out,
              const WeightChanges& changes, Rounding* rounding = nullptr);

// voxtral_encoder.safetensors in float32, with weight normalisation as upstream stores it (g is the
// length of each row, v the row itself). changes: plain weights by the release's names
// ("audio_tokenizer.input_proj.conv.weight"); the others are the module's own.
void write_encoder(const std::filesystem::path& file, CodecEncoder& encoder,
                   const WeightChanges& changes);

}  // namespace ttsft::voxtral
