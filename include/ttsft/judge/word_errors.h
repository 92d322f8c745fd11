// How far what was recognised is from what was written. Both are folded first (text/fold.h), and
// ASCII marks, signs and white space are left out: case and punctuation are no errors.
#pragma once

#include <string_view>

namespace ttsft {

// Levenshtein distance of the letters over the reference's letters; may exceed 1. Of an empty
// reference: 0, or 1 where something was heard.
double character_error_rate(std::string_view reference, std::string_view heard);

}  // namespace ttsft
