// Dimensions of a Voxtral TTS checkpoint, from its params.json. Upstream: vllm-omni,
// model_executor/models/voxtral_tts; the keys that only repeat an architecture are optional, for
// the copies of the file that are about do not hold the same ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ttsft::voxtral {

inline constexpr const char* kParamsFile = "params.json";
inline constexpr const char* kTokenizerFile = "tekken.json";
inline constexpr const char* kWeightsFile = "consolidated.safetensors";
inline constexpr const char* kEncoderFile = "voxtral_encoder.safetensors";
inline constexpr const char* kVoiceFolder = "voice_embedding";

// Of a code that stands for no sound, in every codebook; code c is token c + kSpecials.
inline constexpr int64_t kSpecials = 2, kEmptyAudio = 0, kEndAudio = 1;

// One of the two transformers: over text and frames, and over the three vectors of a frame's flow.
struct TransformerConfig {
  int64_t dim = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, hidden = 0;
  double norm_eps = 1e-5;
};

struct FlowConfig : TransformerConfig {
  double sigma = 1e-5;  // what is left of the noise at the end
  double sigma_max = 1.0;
  int64_t steps = 7;  // of Euler's solver
};

// Layers and convolutions in the order of the file; kernel and stride of 1 mean: none.
struct CodecHalf {
  std::vector<int64_t> layers, kernels, strides;
};

struct CodecConfig {
  int64_t sample_rate = 24000;
  int64_t patch = 240, patch_kernel = 7;
  int64_t semantic_codes = 8192, semantic_dim = 256;
  int64_t levels = 21, acoustic_dim = 36;
  int64_t dim = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double norm_eps = 0.01, qk_norm_eps = 1e-6;
  int64_t window = 16;  // at the patches' rate: earlier columns that one sees beside itself
  CodecHalf encoder, decoder;

  int64_t latent() const { return semantic_dim + acoustic_dim; }
  int64_t columns_per_frame() const;                           // 8
  int64_t hop() const { return patch * columns_per_frame(); }  // samples of a frame: 1920
  int64_t codebooks() const { return 1 + acoustic_dim; }       // 37
  int64_t frames(int64_t samples) const { return (samples + hop() - 1) / hop(); }
  double frame_rate() const {
    return static_cast<double>(sample_rate) / static_cast<double>(hop());
  }
};

struct Config {
  TransformerConfig lm;
  int64_t vocab_size = 0;     // rows of the text table
  int64_t max_positions = 0;  // of a sequence
  double rope_theta = 1e6;
  FlowConfig flow;
  CodecConfig codec;
  std::map<std::string, int64_t> voices;  // of the release, by name: their numbers

  // Rows of the one table of all codebooks: those of codebook k begin at row_of(k).
  int64_t row_of(int64_t codebook) const;
  int64_t codebook_rows() const { return row_of(codec.codebooks()); }
};

// Rows are padded to a multiple of this in the file.
inline constexpr int64_t kRowMultiple = 128;
int64_t padded_rows(int64_t rows);

// DataError names the key that is missing or not supported.
Config read_config(const std::filesystem::path& checkpoint);

}  // namespace ttsft::voxtral
