// What Whisper may say next.
// Source: openai/whisper (MIT), whisper/decoding.py (SuppressBlank,
// SuppressTokens, ApplyTimestampRules).
#pragma once

#include <torch/torch.h>

#include <memory>

#include "ttsft/judge/whisper_files.h"
#include "ttsft/judge/whisper_tokens.h"
#include "ttsft/nn/token_rules.h"

namespace ttsft {

struct WhisperRules {
  TokenRules first; // of the first token of a window
  TokenRules later;
};

// Without timestamps none is ever said; upstream leaves that to the model. With
// them a window begins with one.
WhisperRules whisper_rules(const WhisperFolder &folder,
                           const WhisperTokens &tokens, bool timestamps,
                           torch::Device device);

// Timestamps stand in pairs, an end and a start, but for those at a window's
// start and end; none goes back; and where all timestamps together are likelier
// than each text token, one of them comes. Ids from `first` on are timestamps,
// those below `end` are text. Of the history only tokens and count are looked
// at; behind the count there are no timestamps.
std::shared_ptr<const TokenRule> timestamp_rule(int64_t first, int64_t end);

} // namespace ttsft
