// Complete checkpoints of Fish S2 Pro: the release's names, shards and types.
#pragma once

#include <filesystem>

#include "models/fish_s2_pro/modules.h"
#include "ttsft/model/write_weights.h"

namespace ttsft::fish_s2_pro {

// Every file of `base` in `out`: linked, but for the weights, which get the changes (by the
// module's short names). A base in upstream's merged form (model.pth) stays in that form.
// `rounding`, where given, is added to.
void write_checkpoint(const std::filesystem::path& base, const std::filesystem::path& out,
                      const WeightChanges& changes, Rounding* rounding = nullptr);

// The two lines that the licence asks for beside whatever is derived from the weights.
void write_notice(const std::filesystem::path& folder);

}  // namespace ttsft::fish_s2_pro
