// Random checkpoints in a released layout: one writer for all models, from what each adapter lists.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "ttsft/model/adapter.h"

namespace ttsft {

// Fills and writes the files into a new folder: .pt, .pth and .bin as torch.save does, with "/" in
// a tensor's name for dictionaries in dictionaries ("net/cfm/conv1.weight"; "": the tensor is the
// file), others as safetensors, one tensor in memory at a time. A tensor's values depend on the
// seed, its file and its name alone. UsageError when `out` exists and is not empty;
// RunError when it cannot be written, and then nothing is left there.
void write_fixture(const std::vector<FixtureFile>& files, const std::filesystem::path& out,
                   uint64_t seed);

}  // namespace ttsft
