// The parts that read_config is put together from.
#pragma once

#include <filesystem>

#include "models/qwen3_tts/config.h"
#include "ttsft/io/json_reader.h"

namespace ttsft::qwen3_tts {

// Heads as all decoders here have them: whole groups, and pairs to rotate. Else DataError.
void check_heads(const JsonReader& json, int64_t heads, int64_t kv_heads, int64_t head_dim);

CodecConfig read_codec(const std::filesystem::path& file);

}  // namespace ttsft::qwen3_tts
