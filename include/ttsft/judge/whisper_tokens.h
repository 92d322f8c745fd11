// Whisper's tokens: text by its byte-level BPE, what stands around it by name.
// Source: openai/whisper (MIT), whisper/tokenizer.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ttsft/judge/whisper_files.h"
#include "ttsft/text/bpe.h"

namespace ttsft {

class WhisperTokens {
public:
  // The folder's tokenizer.json. DataError: a token that every Whisper needs is
  // not there, or ids lie beyond the weights' vocabulary.
  explicit WhisperTokens(const WhisperFolder &folder);

  int64_t start() const { return start_; } // <|startoftranscript|>
  int64_t end() const { return end_; }     // <|endoftext|>; text lies below it
  int64_t no_speech() const {
    return no_speech_;
  } // -1: the vocabulary has no such token
  int64_t no_timestamps() const { return no_timestamps_; }
  int64_t first_timestamp() const {
    return no_timestamps_ + 1;
  } // <|0.00|>; then every 20 ms
  int64_t vocabulary() const { return vocabulary_; }

  // Ids of <|en|>, <|zh|>, ..; empty for a model of English alone.
  const std::vector<int64_t> &languages() const { return languages_; }
  std::string language_name(int64_t id) const; // "en"
  // -1: a model of English alone. UsageError: the model does not know it.
  int64_t language(const std::string &name) const;

  // What a text follows: start, language and task where there is a choice, and
  // that there shall be no timestamps.
  std::vector<int64_t> prompt(int64_t language, bool timestamps) const;

  std::string
  text(std::span<const int64_t> ids) const; // of those that are text, trimmed

private:
  Bpe bpe_;
  int64_t vocabulary_;
  int64_t start_, end_, transcribe_, no_speech_, no_timestamps_, nothing_;
  std::vector<int64_t> languages_;
};

} // namespace ttsft
