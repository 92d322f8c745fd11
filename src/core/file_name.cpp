#include "ttsft/core/file_name.h"

#include <cstdio>

namespace ttsft {

std::string file_name_of(std::string_view id) {
  std::string name;
  for (const char c : id) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '_' || c == '-' || (c == '.' && !name.empty()) ||
                       static_cast<unsigned char>(c) >= 0x80;
    if (plain) {
      name += c;
      continue;
    }
    char code[4];
    std::snprintf(code, sizeof code, "%%%02X", static_cast<unsigned char>(c));
    name += code;
  }
  return name;
}

}  // namespace ttsft
