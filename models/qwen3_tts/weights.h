// Which files hold what, and the complete checkpoints we write.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "models/qwen3_tts/config.h"
#include "models/qwen3_tts/modules.h"
#include "models/qwen3_tts/speakers.h"
#include "ttsft/io/safetensors.h"
#include "ttsft/model/write_weights.h"

namespace ttsft::qwen3_tts {

// talker.* of a checkpoint, strictly. speaker_encoder.* stays in the file: prep and synth read it
// on their own.
Qwen3Tts load_talker(const std::shared_ptr<const TensorFile>& file, const Config& config,
                     torch::Device device, torch::Dtype dtype);

// A complete custom-voice checkpoint, upstream's fine-tuned form (specification section 8.6):
// model.safetensors with `changes` in place of the base's (cast to the file's own type) and
// each speaker's vector in its row of talker.model.codec_embedding, config.json changed to
// custom_voice, every other file hard-linked from the base. Without keep_speaker_encoder the
// encoder is left out, as upstream does.
void write_custom_voice(const std::filesystem::path& base, const Config& config,
                        const std::filesystem::path& out, const WeightChanges& changes,
                        const Speakers& speakers, const std::map<std::string, int64_t>& rows,
                        bool keep_existing, bool keep_speaker_encoder,
                        Rounding* rounding = nullptr);

}  // namespace ttsft::qwen3_tts
