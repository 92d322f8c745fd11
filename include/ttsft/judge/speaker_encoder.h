// Who speaks: a vector per clip, of length 1, whose dot product tells how alike two voices are.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ttsft/audio/audio.h"

namespace ttsft {

class SpeakerEncoder {
 public:
  virtual ~SpeakerEncoder() = default;
  virtual std::string name() const = 0;  // with the hash of the weights
  // One vector of length 1 for each clip, of any rate; empty for a clip that is too short to tell.
  virtual std::vector<std::vector<float>> embed(const std::vector<Audio>& clips) = 0;
  // Two clips whose vectors' dot product is above this are of one speaker, more often than not.
  virtual double same_speaker() const = 0;
};

// Weights of the GE2E network: Resemblyzer's pretrained.pt, or Chatterbox's ve.safetensors.
// DataError: another file.
std::unique_ptr<SpeakerEncoder> open_speaker_encoder(const std::filesystem::path& file,
                                                     const std::string& device = "auto");

}  // namespace ttsft
