// Dimensions of an IndexTTS2 checkpoint: config.yaml, and what only the shapes of gpt.pth tell.
// Source: index-tts v2.0.0, checkpoints/config.yaml and indextts/gpt/model_v2.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/io/tensor_file.h"

namespace ttsft::indextts2 {

// One conditioning branch: a conformer over w2v-BERT features and a perceiver that condenses its
// output into a few vectors.
struct ConditionerConfig {
  int64_t output_size, linear_units, attention_heads, num_blocks;  // conformer
  // From shapes.
  int64_t flattened;                      // columns of embed.out.0: channels x frequencies
  int64_t positions;                      // rows of the position table
  int64_t conv_kernel;                    // of the conformer's convolution module
  int64_t latents, latent_dim, head_dim;  // perceiver
  int64_t inner, depth;                   // of its feed-forward; its layers
};

struct GptConfig {
  int64_t model_dim, layers, heads;
  int64_t max_text_tokens, max_mel_tokens;  // of one item: text ids, codes
  int64_t start_mel_token, stop_mel_token, start_text_token, stop_text_token;
  int64_t text_vocabulary, mel_vocabulary;  // rows of the tables (number_text_tokens + 1)
  int64_t text_positions, mel_positions;    // rows of the position tables
  int64_t inner;                            // of the MLP
  int64_t speeds;                           // rows of speed_emb
  ConditionerConfig speaker, emotion;

  // Positions before the text: the speaker's latents and two speed vectors.
  int64_t prefix() const { return speaker.latents + 2; }
};

// MaskGCT's semantic codec.
struct SemanticCodecConfig {
  int64_t codebook_size, hidden_size, codebook_dim;
  int64_t vocos_dim, vocos_intermediate_dim, vocos_num_layers;
};

struct MelConfig {
  int64_t sample_rate, n_fft, win_length, hop_length, n_mels;
  double fmin, fmax;  // Hz; fmax 0: half the sample rate
};

// Codes to mel.
struct S2MelConfig {
  MelConfig mel;
  int64_t style_dim;
  int64_t regulator_channels, regulator_in, regulator_convs;  // convs: length of sampling_ratios
  int64_t hidden_dim, num_heads, depth, in_channels, content_dim;  // DiT
  bool long_skip_connection, uvit_skip_connection;
  int64_t wavenet_dim, wavenet_layers, wavenet_kernel, wavenet_dilation_rate;
};

struct Config {
  std::filesystem::path folder;
  int64_t sample_rate;  // of training recordings before they go to 16 kHz
  GptConfig gpt;
  SemanticCodecConfig semantic_codec;
  S2MelConfig s2mel;
  std::vector<int64_t> emotion_groups;  // rows of feat1 and feat2 per emotion ("emo_num")
  std::string vocoder;                  // "nvidia/bigvgan_v2_22khz_80band_256x"
  std::filesystem::path bpe_model, gpt_file, s2mel_file, w2v_stats, emotion_matrix, speaker_matrix;
};

// DataError: a file or key is missing, another release of the family (2.5, 1.5) by its name, sizes
// that contradict each other.
Config read_config(const std::filesystem::path& checkpoint);

// "" when the folder is none of this family; else one line about it. Reads config.yaml only.
// DataError for IndexTTS-2.5.
std::string recognise_release(const std::filesystem::path& checkpoint);

// Models of other projects that the release needs: plain files under hf_cache/, or snapshot trees
// of the Hugging Face hub (models--<org>--<name>/snapshots/<hash>/) there or in the checkpoint
// itself.
enum class Auxiliary { kW2vBert, kSemanticCodec, kCampplus, kBigVgan };

// Where it is: the folder with config.json for kW2vBert and kBigVgan, the file of weights for the
// others. DataError that says what to download and where to put it.
std::filesystem::path locate(const Config& config, Auxiliary auxiliary);

}  // namespace ttsft::indextts2
