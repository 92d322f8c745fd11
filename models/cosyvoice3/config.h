// Dimensions of a CosyVoice 3 checkpoint: from the tensors first, from cosyvoice3.yaml and the
// backbone's config.json where shapes cannot tell. Where they disagree the tensors are right: the
// release's first yaml named CosyVoice 2's speech_token_size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "ttsft/io/tensor_file.h"

namespace ttsft::cosyvoice3 {

inline constexpr double kCodesPerSecond = 25;
inline constexpr int kTokenizerRate = 16000, kOutputRate = 24000;  // Hz
inline constexpr int64_t kSpecialRows = 200;  // of the speech table, behind the codes

// The language model: Qwen2 between a text table and a speech table.
struct LmConfig {
  int64_t hidden_size = 0, intermediate_size = 0, num_hidden_layers = 0;
  int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  int64_t vocab_size = 0;  // of the text
  double rms_norm_eps = 1e-6, rope_theta = 1e6;
  int64_t codes = 0;  // 6561 = 3^8; the ids behind them are no codes

  int64_t sos() const { return codes; }
  int64_t eos() const { return codes + 1; }
  int64_t task_id() const { return codes + 2; }
  int64_t fill() const { return codes + 3; }  // "the next text, please": a target, never fed
  int64_t speech_rows() const { return codes + kSpecialRows; }
};

// Repetition aware sampling (VALL-E 2), as cosyvoice3.yaml sets it.
struct RasConfig {
  double top_p = 0.8;
  int64_t top_k = 25, win_size = 10;
  double tau_r = 0.1;
};

// What upstream's filter lets pass into training.
struct FilterConfig {
  double min_seconds = 1, max_seconds = 60;
  int64_t min_text_tokens = 1, max_text_tokens = 200;
  double min_ratio = 0.0005, max_ratio = 1;  // text tokens per 10 ms
};

struct Config {
  std::filesystem::path folder;
  LmConfig lm;
  RasConfig ras;
  FilterConfig filter;
  int64_t mix_text = 5, mix_speech = 15;  // a block of the bistream layout
  int64_t chunk_codes = 25;               // of the streaming mask; two mel frames each
};

// talker: llm.pt or llm.rl.pt. DataError names what is missing, damaged or another release's; a
// yaml that contradicts the tensors is a warning.
Config read_config(const std::filesystem::path& folder, const std::string& talker = "llm.pt");

// "CosyVoice 2" and the like: releases of the family that are not taken. "" for none of them.
std::string other_release(const std::filesystem::path& folder);

}  // namespace ttsft::cosyvoice3
