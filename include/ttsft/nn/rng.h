// Random numbers that depend on names, not on the order of calls.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string_view>

namespace ttsft {

// A seed for one purpose ("lora_init", "segment 3"), mixed from the run's seed: equal names give
// equal streams.
uint64_t derive_seed(uint64_t seed, std::string_view purpose);

torch::Generator make_generator(torch::Device device, uint64_t seed);

}  // namespace ttsft
