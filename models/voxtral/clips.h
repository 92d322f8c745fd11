// The clips of a prepared set, as voices for each other: who spoke them, and their codes.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/voxtral/config.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft::voxtral {

// Of a voice that is drawn or chosen: seconds that the paper finds best.
inline constexpr double kLeastVoice = 3, kMostVoice = 25;

class Clips {
 public:
  Clips(PreparedRows rows, Config config);

  // Of a clip [N, 37], int64. DataError with `where`: the set has no such clip, or no codes of it.
  torch::Tensor codes(const std::string& id, const std::string& where) const;
  // Clips of the same speaker as this one, without itself, in the set's order.
  std::vector<std::string> others(const std::string& id) const;
  // The clip that speaks for a speaker ("" for any) when none is named: the longest of 3 to 25 s,
  // else the longest. "": there is none.
  std::string representative(const std::string& speaker) const;
  int64_t frames(const std::string& id) const { return clips_.at(id).frames; }

 private:
  struct Clip {
    size_t row = 0;
    int64_t frames = 0;
    std::string speaker;
  };
  PreparedRows rows_;
  Config config_;
  std::map<std::string, Clip> clips_;
  std::map<std::string, std::vector<std::string>> speakers_;  // ids, in the set's order
};

// At most so many of its frames, from the first on.
torch::Tensor cut_voice(const torch::Tensor& codes, const CodecConfig& codec);

}  // namespace ttsft::voxtral
