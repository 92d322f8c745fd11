// Text to the ids of T3: punctuation norm, then the character BPE of tokenizer.json.
// Source: chatterbox-tts 0.1.7, tts.py (punc_norm) and models/tokenizers/tokenizer.py
// (EnTokenizer).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ttsft/text/word_bpe.h"

namespace ttsft::chatterbox {

// As upstream, surprises included: empty text becomes a sentence that asks for some, a first letter
// is raised only where no space is before it, and what a replacement leaves doubled stays doubled.
// Invalid UTF-8 is a DataError.
std::string punc_norm(const std::string& text);

class TextFrontend {
 public:
  // Reads tokenizer.json of the folder. DataError when [START], [STOP] or [SPACE] is missing.
  explicit TextFrontend(const std::filesystem::path& checkpoint);

  // punc_norm, then tokens(). Never empty; without start and stop. DataError for [START] and [STOP]
  // typed in the text.
  std::vector<int64_t> encode(const std::string& text) const;
  // Ids of text that is normalised already: every space is a [SPACE]. There is no case folding.
  std::vector<int64_t> tokens(const std::string& text) const;

  int64_t start() const { return start_; }
  int64_t stop() const { return stop_; }
  int64_t size() const { return bpe_.size(); }  // highest id + 1
  // Share of [UNK] among the ids, 0 to 1; 0 for none at all.
  double unknown_share(const std::vector<int64_t>& ids) const;

 private:
  WordBpe bpe_;
  int64_t start_, stop_;
};

}  // namespace ttsft::chatterbox
