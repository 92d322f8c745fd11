// Voices: one vector per speaker, kept in float32, and its place in the files upstream reads.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/qwen3_tts/config.h"
#include "models/qwen3_tts/speaker_encoder.h"

namespace ttsft::qwen3_tts {

// Speaker vectors [H], float32, CPU, by lower-case name. Upstream lower-cases a requested name
// before it looks it up, so a name with capitals in a file could never be found.
using Speakers = std::map<std::string, torch::Tensor>;

std::string speaker_key(const std::string& name);  // lower case; "" becomes "speaker"

// Mel and encoder of one reference: the whole path from file to vector, at the encoder's own rate.
class SpeakerReader {
 public:
  SpeakerReader(const std::filesystem::path& checkpoint, const Config& config,
                torch::Device device);
  torch::Tensor read(
      const std::filesystem::path& audio);  // [H], float32, CPU; DataError names the file

 private:
  Config config_;
  torch::Device device_;
  MelExtractor mel_;
  SpeakerEncoder encoder_{nullptr};
};

// prepared/speakers.safetensors: tensors "speaker.<name>".
void save_speakers(const std::filesystem::path& file, const Speakers& speakers);
Speakers load_speakers(const std::filesystem::path& file);

// Rows of talker.model.codec_embedding that speakers get: 3000, 3001, ... past those in use.
// DataError when full.
std::map<std::string, int64_t> speaker_rows(const Speakers& speakers, const Config& config,
                                            bool keep_existing);

// config.json of a fine-tuned checkpoint: custom_voice, the speakers' rows, everything else as it
// was. keep_existing: the companion's adapter form adds to spk_id, the full form replaces it.
nlohmann::ordered_json custom_voice_config(const Config& config,
                                           const std::map<std::string, int64_t>& rows,
                                           bool keep_existing);

// speaker_embedding.safetensors of the companion's adapter form: target_speaker_embedding [H] for
// one speaker, target_speaker_embedding.<name> for each of several.
void save_adapter_speakers(const std::filesystem::path& folder, const Speakers& speakers);
// The vectors of an adapter folder by name, empty when it has none; names come from its
// config.json.
struct AdapterVoices {
  Speakers speakers;
  std::map<std::string, int64_t> rows;
};
AdapterVoices load_adapter_voices(const std::filesystem::path& folder);

}  // namespace ttsft::qwen3_tts
