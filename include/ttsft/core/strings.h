// Small text helpers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ttsft {

std::string to_lower_ascii(std::string_view text);
std::string trim(std::string_view text);  // spaces, tabs, line ends at both sides
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The known name nearest to `name` by edit distance, or "" when none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& known);

}  // namespace ttsft
