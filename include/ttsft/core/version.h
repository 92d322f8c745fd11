// The version of this program, as CMakeLists.txt states it.
#pragma once

namespace ttsft {

const char* version();  // "0.1.0"

}  // namespace ttsft
