// Text to sound with Voxtral: a voice, the text, and frames until END_AUDIO.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/voxtral/acoustic.h"
#include "models/voxtral/generate.h"
#include "models/voxtral/options.h"
#include "models/voxtral/text.h"
#include "ttsft/model/adapter.h"

namespace ttsft::voxtral {

class SpeechSynthesizer : public Synthesizer {
 public:
  SpeechSynthesizer(const ModelContext& context, const CheckpointSet& checkpoints,
                    double lora_scale);

  std::vector<std::string> segments(const std::string& text) const override;
  void load() override;
  SpeechLm& language_model() override { return *lm_; }
  torch::TensorOptions tensor_options() const override;
  DecodingPlan plan(const DecodeOptions& options) override;
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override;
  RecordedDraws recorded(const Noise& noise) const override;
  AcousticDecoder& acoustic() override { return acoustic_; }

 private:
  // Rows of the prompt [N, D]: a voice of the release that data.speaker names, else the recording
  // in data.reference, else a clip of the prepared set.
  torch::Tensor find_voice();

  const RunConfig& run_;
  const Options& options_;
  ModelContext context_;
  CheckpointRef checkpoint_;  // of the stage lm
  double lora_scale_;
  std::filesystem::path base_;  // folder of the complete checkpoint
  Config config_;
  Tokenizer tokenizer_;
  Acoustic acoustic_;
  std::unique_ptr<SpeechModel> lm_;  // by load(): --codes-in needs the codec only
  torch::Tensor voice_;
};

// The codes of the voice that a run file asks for in data.reference, or of a clip of its prepared
// set; undefined where it says neither. With the codec's encoder, or as voxtral.codes has it.
torch::Tensor voice_of_run(const RunConfig& run, const Options& options, const Config& config,
                           Codec& codec);

// The encoder of a set of checkpoints: that of its stage, the run file's, or the base's own.
std::filesystem::path encoder_of(const CheckpointSet& checkpoints, const Options& options,
                                 const std::filesystem::path& base);

}  // namespace ttsft::voxtral
