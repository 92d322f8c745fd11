// A random Chatterbox checkpoint in the released layout. Written out from the specification, not
// from the modules, so that a test can hold one against the other.
#pragma once

#include <vector>

#include "ttsft/model/adapter.h"

namespace ttsft::chatterbox {

// t3_cfg, ve and s3gen.safetensors, tokenizer.json and, where sizes are not the release's,
// ttsft_dims.json. No conds.pt: a random voice says nothing.
std::vector<FixtureFile> fixture_files(FixtureSize size);

}  // namespace ttsft::chatterbox
