// Text to sound with an IndexTTS2 checkpoint.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/indextts2/acoustic.h"
#include "models/indextts2/generate.h"
#include "models/indextts2/options.h"
#include "models/indextts2/voice.h"
#include "ttsft/model/adapter.h"

namespace ttsft::indextts2 {

class SpeechSynthesizer : public Synthesizer {
 public:
  SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                    double lora_scale);

  std::vector<std::string> segments(const std::string& text) const override;
  Speaking speaking() const override { return {.pause_seconds = 0.2}; }  // as upstream
  void load() override;  // the GPT; what decodes and the voice are loaded at once
  SpeechLm& language_model() override { return *lm_; }
  torch::TensorOptions tensor_options() const override;
  DecodingPlan plan(const DecodeOptions& options) override;
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override;
  AcousticDecoder& acoustic() override { return *acoustic_; }
  std::vector<AcousticRow> acoustic_rows(std::span<const SpokenSegment> segments) override;

  const Voice& voice() const { return voice_; }  // for the parity tests

 private:
  SpeechPrompt speech_prompt(const std::string& segment) const;

  const RunConfig& run_;
  const Options& options_;
  CheckpointRef checkpoint_;
  double lora_scale_;
  torch::Device device_;
  torch::Dtype dtype_;
  Config config_;  // of the complete checkpoint
  TextFrontend text_;
  Voice voice_;
  std::unique_ptr<Acoustic> acoustic_;
  UnifiedVoice model_{nullptr};
  std::unique_ptr<GptLm> lm_;
  // Ids of the segments that segments() made: the words of one do not always give them back.
  mutable std::map<std::string, std::vector<int64_t>> segment_ids_;
};

}  // namespace ttsft::indextts2
