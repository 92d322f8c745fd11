// Binds a section to a YAML tree: values that the tree holds replace the section's own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "src/config/tree.h"
#include "ttsft/config/binder.h"

namespace ttsft::config {

// Relative paths in the tree start at `folder`. UsageErrors name the place, the dotted key and what
// is wanted.
void read_section(Section& section, const Node& tree, const std::filesystem::path& folder);

// `~/x` is the home folder's x; a relative path starts at folder; no trailing separator.
std::filesystem::path resolve_path(const std::string& text, const std::filesystem::path& folder);

}  // namespace ttsft::config
