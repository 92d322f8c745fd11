// Dimensions of a Qwen3-TTS checkpoint, read from upstream's own files and never from the run file.
// Source: qwen_tts 0.1.1, configuration_qwen3_tts.py and configuration_qwen3_tts_tokenizer_v2.py;
// the class defaults there differ from the release, so every key without a documented default must
// be in the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ttsft::qwen3_tts {

// One Qwen3 decoder: the talker (28 layers) or the code predictor (5 layers).
struct DecoderConfig {
  int64_t hidden_size, intermediate_size, num_hidden_layers;
  int64_t num_attention_heads, num_key_value_heads, head_dim;
  int64_t vocab_size;  // talker: codec vocabulary 3072; predictor: 2048
  double rms_norm_eps, rope_theta;
};

struct TalkerConfig : DecoderConfig {
  int64_t text_hidden_size, text_vocab_size, num_code_groups;
  int64_t codec_pad_id, codec_bos_id, codec_eos_token_id;
  int64_t codec_think_id, codec_nothink_id, codec_think_bos_id, codec_think_eos_id;
  std::map<std::string, int64_t> codec_language_id;  // lower-case names
  std::map<std::string, int64_t> spk_id;             // lower-case names
  std::map<std::string, std::string>
      spk_is_dialect;  // only speakers whose entry is a dialect's name
  DecoderConfig code_predictor;

  std::optional<int64_t> language_id(const std::string& lower_case) const;
  std::string language_names() const;  // "auto, chinese, ...", for errors
};

struct SpeakerEncoderConfig {
  int64_t enc_dim = 0, sample_rate = 24000, mel_dim = 128;
  std::vector<int64_t> enc_channels = {512, 512, 512, 512, 1536};
  std::vector<int64_t> enc_kernel_sizes = {5, 3, 3, 3, 1};
  std::vector<int64_t> enc_dilations = {1, 2, 3, 4, 1};
  int64_t enc_attention_channels = 128, enc_res2net_scale = 8, enc_se_channels = 128;
};

struct CodecEncoderConfig {
  int64_t num_filters, kernel_size, last_kernel_size, residual_kernel_size, num_residual_layers,
      compress;
  int64_t dilation_growth_rate;
  std::vector<int64_t> upsampling_ratios;
  int64_t hidden_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim,
      intermediate_size;
  double norm_eps, rope_theta, frame_rate;
  int64_t codebook_size, codebook_dim, num_quantizers, num_semantic_quantizers;
};

struct CodecDecoderConfig {
  int64_t codebook_dim, codebook_size, num_quantizers, latent_dim, hidden_size, intermediate_size;
  int64_t num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim, sliding_window;
  double rope_theta, rms_norm_eps;
  int64_t decoder_dim;
  std::vector<int64_t> upsample_rates, upsampling_ratios;
};

struct CodecConfig {
  int64_t encoder_valid_num_quantizers, input_sample_rate, output_sample_rate;
  int64_t decode_upsample_rate, encode_downsample_rate;  // samples per frame
  CodecEncoderConfig encoder;
  CodecDecoderConfig decoder;
};

enum class Variant { kBase, kCustomVoice, kVoiceDesign };

struct Config {
  Variant variant;
  std::string model_size;  // "1b7" | "0b6"
  int64_t assistant_token_id, im_start_token_id, im_end_token_id;
  int64_t tts_pad_token_id, tts_bos_token_id, tts_eos_token_id;
  TalkerConfig talker;
  SpeakerEncoderConfig speaker_encoder;
  CodecConfig codec;
  nlohmann::ordered_json raw;  // config.json as it stands, for the files we write

  // generation_config.json, with upstream's hard defaults where the file or a key is missing.
  struct Generation {
    double temperature = 0.9, top_p = 1.0, repetition_penalty = 1.05;
    int64_t top_k = 50, max_new_tokens = 2048;
    bool do_sample = true, subtalker_dosample = true;
    double subtalker_temperature = 0.9, subtalker_top_p = 1.0;
    int64_t subtalker_top_k = 50;
  } generation;

  bool has_speaker_encoder() const { return variant == Variant::kBase; }
};

// Reads config.json, generation_config.json and speech_tokenizer/config.json of a checkpoint
// folder. DataError: a file or key is missing, the model type is another, the 25 Hz tokenizer,
// sizes that contradict each other.
Config read_config(const std::filesystem::path& checkpoint);

}  // namespace ttsft::qwen3_tts
