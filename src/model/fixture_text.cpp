#include "ttsft/model/fixture_text.h"

namespace ttsft {
namespace {

// UTF-8 of a code point below U+0800.
std::string utf8(int code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

}  // namespace

std::vector<std::string> byte_letters() {
  std::vector<std::string> letters;
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
  };
  for (int b = 0; b < 256; ++b)
    if (printable(b)) letters.push_back(utf8(b));
  int extra = 0;
  for (int b = 0; b < 256; ++b)
    if (!printable(b)) letters.push_back(utf8(256 + extra++));
  return letters;
}

}  // namespace ttsft
