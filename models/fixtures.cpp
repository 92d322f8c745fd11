// The random checkpoints of all models, apart from the registry so that ttsft does not carry them.
#include "ttsft/core/error.h"
#include "ttsft/model/fixture.h"

namespace ttsft {

#define TTSFT_MODEL(folder)                                 \
  namespace folder {                                        \
  std::vector<FixtureFile> fixture_files(FixtureSize size); \
  }
#include "models/models.def"
#undef TTSFT_MODEL

std::vector<FixtureFile> fixture_files(const std::string& folder, FixtureSize size) {
#define TTSFT_MODEL(name) \
  if (folder == #name) return name::fixture_files(size);
#include "models/models.def"
#undef TTSFT_MODEL
  throw UsageError("no model of that name", "models/" + folder);
}

}  // namespace ttsft
