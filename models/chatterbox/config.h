// Dimensions of a Chatterbox checkpoint. The release has no configuration file: they are constants
// in upstream's code. Here they come from the tensors' shapes; what shapes cannot tell comes from
// the optional file ttsft_dims.json, else it is as in the release.
// Source: chatterbox 0.1.7, models/t3/modules/t3_config.py, models/t3/llama_configs.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "ttsft/io/tensor_file.h"

namespace ttsft::chatterbox {

inline constexpr int64_t kSpeechCodes = 6561;  // 3^8: ids below are codes of the S3 tokenizer
inline constexpr int64_t kStartSpeech = 6561, kStopSpeech = 6562;
inline constexpr double kCodesPerSecond = 25;
inline constexpr int64_t kSamplesPerCode = 640;                    // at 16 kHz
inline constexpr int kTokenizerRate = 16000, kOutputRate = 24000;  // Hz
inline constexpr int64_t kPerceiverHeads = 4;

// The language model T3: a Llama between text and speech tables of its own.
struct T3Config {
  int64_t hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  int64_t num_attention_heads = 16, num_key_value_heads = 16, head_dim = 64;
  int64_t vocab_size = 0;  // of tfmr.embed_tokens, which nobody reads
  int64_t text_vocab = 0, speech_vocab = 0;
  int64_t max_text_tokens = 0, max_speech_tokens = 0;
  int64_t speaker_embed_size = 0;
  int64_t perceiver_queries = 0;
  int64_t speech_cond_prompt_len = 150;  // codes of the reference that the prompt may hold

  // Positions in front of the text: speaker, perceiver, emotion.
  int64_t condition_length() const { return 1 + perceiver_queries + 1; }
};

struct Config {
  T3Config t3;
  int64_t tokenizer_heads = 20;                      // of the S3 tokenizer
  int64_t decoder_heads = 8, decoder_head_dim = 64;  // of the flow's U-Net
};

// DataError when the folder is no checkpoint of the English release: what is missing, or which
// other release of the family it is.
Config read_config(const std::filesystem::path& folder);

// "Chatterbox Turbo" and the like: releases of the family that are not taken. "" for none of them.
std::string other_release(const std::filesystem::path& folder);

// The file t3_cfg, s3gen or ve of a checkpoint: .safetensors, or a community .pt state dict of the
// same names. Wrappers of old releases ("model") are taken off.
std::shared_ptr<const TensorFile> open_weights(const std::filesystem::path& folder,
                                               const std::string& stem);

}  // namespace ttsft::chatterbox
