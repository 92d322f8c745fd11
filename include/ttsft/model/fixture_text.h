// Vocabularies for random checkpoints.
#pragma once

#include <string>
#include <vector>

namespace ttsft {

// GPT-2's printable letter for every byte, in the order of its vocabulary.
std::vector<std::string> byte_letters();

}  // namespace ttsft
