// Text to sound with a Chatterbox checkpoint.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/chatterbox/acoustic.h"
#include "models/chatterbox/generate.h"
#include "models/chatterbox/options.h"
#include "models/chatterbox/text.h"
#include "models/chatterbox/voice.h"
#include "ttsft/model/adapter.h"

namespace ttsft::chatterbox {

// The voice of a checkpoint: data.reference, else the conds.pt that a fine-tuning left with its
// checkpoint, else the release's. UsageError when there is none.
Voice resolve_voice(const ModelContext& context, const CheckpointRef& checkpoint,
                    const Config& config);

class SpeechSynthesizer : public Synthesizer {
 public:
  SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                    double lora_scale);

  std::vector<std::string> segments(const std::string& text) const override;
  void load() override;  // T3; the decoder and the voice are loaded at once
  SpeechLm& language_model() override { return *lm_; }
  torch::TensorOptions tensor_options() const override;
  DecodingPlan plan(const DecodeOptions& options) override;
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override;
  torch::Tensor heard(const torch::Tensor& codes) const override { return keep_codes(codes); }
  AcousticDecoder& acoustic() override { return *acoustic_; }

 private:
  const RunConfig& run_;
  const Options& options_;
  CheckpointRef checkpoint_;
  double lora_scale_;
  std::filesystem::path base_;  // folder of the complete checkpoint
  torch::Device device_;
  torch::Dtype dtype_;
  Config config_;
  TextFrontend text_;
  Voice voice_;
  std::unique_ptr<Acoustic> acoustic_;
  std::unique_ptr<T3Lm> lm_;
};

}  // namespace ttsft::chatterbox
