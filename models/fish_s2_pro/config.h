// Dimensions of a Fish S2 Pro checkpoint: config.json in the release's nested form, or the flat one
// that upstream's merge tool writes. Upstream: fish_speech/models/text2semantic/llama.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace ttsft::fish_s2_pro {

inline constexpr const char* kCodecFile = "codec.pth";
inline constexpr const char* kTokenizerFile = "tokenizer.json";

// One of the two decoders.
struct DecoderConfig {
  int64_t dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  bool qk_norm = false, qkv_bias = false, o_bias = false;
};

struct Config {
  DecoderConfig slow, fast;
  int64_t vocab_size = 0;     // rows of the text table
  int64_t codebook_size = 0;  // classes of every level: 4096
  int64_t codebooks = 0;      // 10
  int64_t max_seq_len = 0;
  double norm_eps = 1e-6, rope_base = 1e6;  // of the slow one; both use them
  // A frame's vector is divided by sqrt(codebooks + 1). True of the release; a flat config says so
  // itself.
  bool scale_codebooks = true;
};

// DataError names what is missing, or the other release that the folder holds.
Config read_config(const std::filesystem::path& checkpoint);

// "OpenAudio S1" and the like: releases of the family that are not taken. "": none of them.
std::string other_release(const std::filesystem::path& checkpoint);

// Widths of a head in the codec's transformers, which no shape tells: 64, unless ttsft_dims.json
// beside the weights says otherwise.
struct CodecHeads {
  int64_t encoder = 64, quantizer = 64;
};
CodecHeads read_codec_heads(const std::filesystem::path& checkpoint);

}  // namespace ttsft::fish_s2_pro
