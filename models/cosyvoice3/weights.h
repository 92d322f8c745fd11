// Checkpoints in the released layout, written: llm.pt or llm.rl.pt, flow.pt, spk2info.pt; the other
// files are linked.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ttsft/io/torch_file.h"
#include "ttsft/model/write_weights.h"

namespace ttsft::cosyvoice3 {

inline constexpr const char* kFlowFile = "flow.pt";
inline constexpr const char* kVoicesFile = "spk2info.pt";

// A voice by its vector alone (upstream's SFT speakers), as the speaker network gives it.
using Voices = std::map<std::string, std::vector<float>>;

// The mean vector of each speaker of a prepared set; {} where there is no set.
Voices voices_of_set(const std::filesystem::path& prepared, const std::string& default_speaker);

// spk2info.pt: the base's entries as they are, and {"embedding": [1, 192]} of each voice.
void write_voices(const std::filesystem::path& base, const std::filesystem::path& out,
                  const Voices& voices);

// `file` (llm.pt, llm.rl.pt, flow.pt) anew in float32 with the changes, under the names of the
// file; the text head follows the text table, to which it is tied. Extra entries that upstream's
// trainer leaves (epoch, step), which its loader refuses, are gone.
void write_stage_file(const std::filesystem::path& base, const std::filesystem::path& out,
                      const std::string& file, const WeightChanges& changes,
                      Rounding* rounding = nullptr);

}  // namespace ttsft::cosyvoice3
