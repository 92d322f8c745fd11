// A prepared set as upstream's packing tool leaves it. Upstream: tools/llama/build_dataset.py.
#pragma once

#include <filesystem>

#include "models/fish_s2_pro/config.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft::fish_s2_pro {

// The speaker, else the folder of the recording: what upstream calls a group.
std::string group_of(const Utterance& utterance);

// 00000000.protos and so on, byte for byte upstream's: a record for each group, its sentences by
// path; a new file behind every 10 MB. Texts are cleaned as there, but keep their speaker tags.
// codes: the folder that the rows' npy are named in.
void write_packed(const std::filesystem::path& folder, const PreparedRows& rows,
                  const std::filesystem::path& codes, const Config& config);

}  // namespace ttsft::fish_s2_pro
