// Random checkpoints in the released layout, listed name by name from the specification (section
// 2). The list is written out and not derived from the modules, so that loading a fixture strictly
// proves the modules' names.
#pragma once

#include <vector>

#include "ttsft/model/adapter.h"

namespace ttsft::indextts2 {

std::vector<FixtureFile> fixture_files(FixtureSize size);

}  // namespace ttsft::indextts2
