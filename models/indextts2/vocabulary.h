// A larger tokenizer for a checkpoint: languages and words that bpe.model does not know.
#pragma once

#include <filesystem>
#include <string>

#include "models/indextts2/modules.h"

namespace ttsft::indextts2 {

// The tables with a row for each piece, and one row more, as the release has it.
bool is_text_table(const std::string& tensor);
constexpr int64_t text_rows(int64_t pieces) {
  return pieces + 1;
}

// Grows the text tables to the pieces of `extended`.
// Upstream draws the new rows at random (N(0, 0.02), a linear's default); here a new piece starts
// as the mean of the pieces that the old tokenizer cuts it into, so that it is spoken from the
// first step on. Returns the rows of the tables; nothing changes when they are as many already.
// DataError: `extended` does not begin with the pieces of `own`, or has fewer.
int64_t extend_vocabulary(UnifiedVoice& model, const std::filesystem::path& own,
                          const std::filesystem::path& extended);

// config.yaml with another number_text_tokens and nothing else changed.
std::string with_text_tokens(const std::string& yaml, int64_t tokens);

}  // namespace ttsft::indextts2
