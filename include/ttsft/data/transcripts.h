// What is said in a long recording and when: subtitles and the like.
#pragma once

#include <string>

namespace ttsft {

struct Cue {
  double begin = 0, end = 0;  // seconds from the start of the recording; begin < end
  std::string text;           // one line, without markup, trimmed; never empty
  std::string speaker;        // where the file names one
  bool is_word = false;       // one word of a text that is timed word by word
};

}  // namespace ttsft
