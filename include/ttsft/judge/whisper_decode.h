// From what the encoder heard to tokens: the likeliest one at each step, or a
// beam search with transformers' rules and length normalisation
// (nn/beam_search: the sum of the log-probabilities over the number of tokens,
// the end token among them). There is no fallback to higher temperatures: the
// same sound always gives the same text. Source: openai/whisper (MIT),
// whisper/decoding.py; transformers 5.24.0 (Apache-2.0), generation/utils.py.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "ttsft/judge/whisper_model.h"
#include "ttsft/judge/whisper_rules.h"

namespace ttsft {

struct WhisperSearch {
  int64_t beams = 1; // 1: greedy
  int64_t most_tokens = 0;
  int64_t end = 0;
  int64_t no_speech = -1; // -1: there is no such token
  WhisperRules rules;
};

struct WhisperText {
  std::vector<int64_t> tokens; // without the end token
  // Of each token, and of the end token where it came: among what the rules
  // allowed (greedy), or among all tokens (beams).
  std::vector<float> log_probabilities;
  double no_speech =
      0; // the probability that nobody speaks; NaN where the model cannot tell

  double mean_log_probability() const; // of all; 0 of none
};

// One text for each window, all of them at once. prompts: [B, P], int64; the
// first token is
// <|startoftranscript|>. Rows that have ended leave the batch when half of it
// has.
std::vector<WhisperText> decode_windows(Whisper &whisper,
                                        const WhisperHeard &heard,
                                        const torch::Tensor &prompts,
                                        const WhisperSearch &search);

// The likeliest of some tokens behind <|startoftranscript|> for each window,
// [B].
std::vector<int64_t> likeliest_languages(Whisper &whisper,
                                         const WhisperHeard &heard,
                                         int64_t start,
                                         const std::vector<int64_t> &languages);

} // namespace ttsft
