// Names of files made from names that people chose.
#pragma once

#include <string>
#include <string_view>

namespace ttsft {

// The id itself where a file may be called so on any system; other characters (slashes, colons,
// spaces, a dot at the start) as %XX. Different ids give different names.
std::string file_name_of(std::string_view id);

}  // namespace ttsft
