// Names from a file that may be damaged, as they stand in an error.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace ttsft {

// Cut to a length that can be read, control characters as "?".
inline std::string printable(std::string_view text) {
  constexpr size_t kMost = 200;
  std::string shown(text.substr(0, kMost));
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  std::replace_if(shown.begin(), shown.end(), is_control, '?');
  return text.size() > kMost ? shown + "..." : shown;
}

}  // namespace ttsft
