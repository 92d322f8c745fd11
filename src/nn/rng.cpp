#include "ttsft/nn/rng.h"

namespace ttsft {

uint64_t derive_seed(uint64_t seed, std::string_view purpose) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a over the name, then SplitMix64 over both
  for (unsigned char c : purpose) hash = (hash ^ c) * 0x100000001b3ULL;
  uint64_t z = hash + seed * 0x9e3779b97f4a7c15ULL + 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

torch::Generator make_generator(torch::Device device, uint64_t seed) {
  torch::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(seed);
  return generator;
}

}  // namespace ttsft
