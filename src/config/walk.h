// Walks over the keys of a section without reading or writing values.
#pragma once

#include <string>
#include <vector>

#include "ttsft/config/binder.h"

namespace ttsft::config {

// Every key below the section, dotted, in order.
std::vector<std::string> dotted_keys(Section& section);

// Checks the words of choices and calls validate() of every section below this one. A UsageError
// begins with the key, dotted from this section: "train.optimizer.learning_rate: must be above 0,
// is -1.0".
void validate_below(Section& section);

}  // namespace ttsft::config
