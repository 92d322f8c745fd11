// Names that people would call the same.
#pragma once

#include <string>
#include <string_view>

namespace ttsft {

// Unicode's NFKC_Casefold: two names that differ in case, in composed or decomposed accents or in
// the width of their letters fold to the same. Invalid UTF-8 comes back as it is.
std::string fold_name(std::string_view utf8);

}  // namespace ttsft
