#include "ttsft/core/version.h"

namespace ttsft {

const char* version() {
  return TTSFT_VERSION;
}

}  // namespace ttsft
