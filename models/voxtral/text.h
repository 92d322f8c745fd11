// Text as Voxtral hears it, byte for byte, and the prompt around it. Upstream: mistral-common,
// tokens/tokenizers/instruct.py (encode_speech_request).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ttsft/text/tekken.h"

namespace ttsft::voxtral {

// Special tokens, by what stands in tekken.json.
struct Prompt {
  int64_t begin = 1;            // <s>
  int64_t audio = 24;           // [AUDIO], which a row of the voice takes the place of
  int64_t begin_audio = 25;     // [BEGIN_AUDIO]
  int64_t text_follows = 36;    // [NEXT_AUDIO_TEXT]
  int64_t speech_follows = 35;  // [REPEAT_AUDIO_TEXT]

  // begin, begin_audio | voice rows | text_follows, text, speech_follows, begin_audio
  std::vector<int64_t> before_voice() const { return {begin, begin_audio}; }
  std::vector<int64_t> behind_voice(const std::vector<int64_t>& text) const;
  int64_t size(int64_t voice_rows, int64_t text_ids) const { return voice_rows + text_ids + 5; }
};

class Tokenizer {
 public:
  // tekken.json. DataError names it, or a special token that it lacks.
  explicit Tokenizer(const std::filesystem::path& checkpoint);

  std::vector<int64_t> encode(const std::string& text) const { return tekken_.encode(text); }
  const Prompt& prompt() const { return prompt_; }
  int64_t size() const { return tekken_.size(); }

 private:
  Tekken tekken_;
  Prompt prompt_;
};

// How many rows each voice of the release has: `audio.voice_num_audio_tokens`.
std::map<std::string, int64_t> voice_sizes(const std::filesystem::path& checkpoint);

}  // namespace ttsft::voxtral
