// The tokens that CosyVoice 3's tokenizer class adds in code, in the order of their ids: the end of
// a prompt, sounds and styles, English phonemes (ARPAbet) and Chinese syllable parts with tones.
// Upstream: cosyvoice/tokenizer/tokenizer.py (CosyVoice3Tokenizer).
#pragma once

#include <string>
#include <vector>

namespace ttsft::cosyvoice3 {

inline constexpr const char* kEndOfPrompt = "<|endofprompt|>";

const std::vector<std::string>& special_tokens();  // 278; kEndOfPrompt is the first

}  // namespace ttsft::cosyvoice3
