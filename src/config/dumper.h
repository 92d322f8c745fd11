// Writes a section as YAML that reads back to the same values.
#pragma once

#include <string>

#include "ttsft/config/binder.h"

namespace ttsft::config {

// With comments each key is followed by its help, or preceded by it where the line would be too
// long.
std::string dump_section(Section& section, bool comments);

}  // namespace ttsft::config
