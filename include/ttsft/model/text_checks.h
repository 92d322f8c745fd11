// Texts that a model cannot take, said in one way for all of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace ttsft {

struct TextLimits {
  int64_t tokens = 0;          // that the model has places for
  std::string unknown_token;   // as the tokenizer calls it: "[UNK]"
  std::string unknown_remedy;  // what to do about letters that it does not know
};

// A transcript of prep: DataError when it is too long, or more than a twentieth of it is unknown.
void check_transcript(int64_t tokens, double unknown_share, const TextLimits& limits,
                      const std::string& where);

// A piece of text of synth: UsageError when it is too long. key: of the run file, that cuts
// shorter.
void check_piece(int64_t tokens, int64_t possible, const std::string& key);

// Letters of a piece that the tokenizer does not know: a warning, and a UsageError where they are
// most of it, as data.guards.text_unknown says. The model would say something else in their place.
void check_spoken(const std::string& piece, double unknown_share, const TextLimits& limits,
                  const std::map<std::string, std::string>& guards);

}  // namespace ttsft
