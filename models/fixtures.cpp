// The random checkpoints of all models, apart from the registry so that ttsft does not carry them.
#include "ttsft/core/error.h"
#include "ttsft/model/fixture.h"

#ifndef TTSFT_MODELS_DEF  // a test may name models of its own
#define TTSFT_MODELS_DEF "models/models.def"
#endif

namespace ttsft {

#define TTSFT_MODEL(folder)                                 \
  namespace folder {                                        \
  std::vector<FixtureFile> fixture_files(FixtureSize size); \
  }
#include TTSFT_MODELS_DEF
#undef TTSFT_MODEL

std::vector<FixtureFile> fixture_files(const std::string& folder, FixtureSize size) {
#define TTSFT_MODEL(name) \
  if (folder == #name) return name::fixture_files(size);
#include TTSFT_MODELS_DEF
#undef TTSFT_MODEL
  throw UsageError("no model of that name", "models/" + folder);
}

}  // namespace ttsft
