#include "ttsft/core/error.h"

#include <algorithm>

namespace ttsft {
namespace {

// An error is one line, whatever a library put into its message: a run of blanks that holds a line
// break becomes one space.
void append_folded(std::string& line, std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  size_t i = 0;
  bool begun = false;
  while (i < text.size()) {
    const size_t end = std::min(text.find_first_not_of(kBlank, i), text.size());
    const std::string_view blank = text.substr(i, end - i);
    if (blank.find_first_of("\r\n\v\f") == std::string_view::npos) {
      line += blank;
    } else if (begun && end < text.size()) {
      line += ' ';
    }
    const size_t next = std::min(text.find_first_of(kBlank, end), text.size());
    line += text.substr(end, next - end);
    begun = begun || next > end;
    i = next;
  }
}

std::string one_line(std::string_view what, std::string_view where, std::string_view remedy) {
  std::string line;
  append_folded(line, what);
  if (!where.empty()) {
    if (!line.empty()) line += ": ";
    append_folded(line, where);
  }
  if (!remedy.empty()) {
    if (!line.empty()) line += "; ";
    append_folded(line, remedy);
  }
  return line;
}

}  // namespace

Error::Error(ExitCode code, std::string_view what, std::string_view where, std::string_view remedy)
    : std::runtime_error(one_line(what, where, remedy)), code_(code) {}

}  // namespace ttsft
