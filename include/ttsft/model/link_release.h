// The files of a released checkpoint that a new one does not change.
#pragma once

#include <filesystem>
#include <functional>

namespace ttsft {

// Hard-links (or copies) every file of `base` into `out`, but for what train keeps for itself in a
// checkpoint and for those that `written_anew` (a path relative to base) names.
void link_release(const std::filesystem::path& base, const std::filesystem::path& out,
                  const std::function<bool(const std::filesystem::path&)>& written_anew);
// The same for what is in `base` and not yet in `out`.
void link_rest(const std::filesystem::path& base, const std::filesystem::path& out);

}  // namespace ttsft
