// Texts that a model cannot take, said in one way for all of them.
#pragma once

#include <cstdint>
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

}  // namespace ttsft
