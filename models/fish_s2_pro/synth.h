// Text to sound with Fish S2 Pro: a conversation whose answers are speech.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/fish_s2_pro/acoustic.h"
#include "models/fish_s2_pro/generate.h"
#include "models/fish_s2_pro/options.h"
#include "ttsft/model/adapter.h"

namespace ttsft::fish_s2_pro {

class SpeechSynthesizer : public Synthesizer {
 public:
  SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                    double lora_scale);

  // Batches of turns. UsageError: the text spells a control token.
  std::vector<std::string> segments(const std::string& text) const override;
  Speaking speaking() const override { return {.chained = true, .whole_text = true}; }
  void load() override;
  SpeechLm& language_model() override { return *lm_; }
  torch::TensorOptions tensor_options() const override;
  DecodingPlan plan(const DecodeOptions& options) override;
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override;
  RecordedDraws recorded(const Noise& noise) const override;
  AcousticDecoder& acoustic() override { return acoustic_; }

 private:
  void read_reference();

  const RunConfig& run_;
  const Options& options_;
  ModelContext context_;
  CheckpointRef checkpoint_;
  double lora_scale_;
  std::filesystem::path base_;  // folder of the complete checkpoint
  Config config_;
  Tokenizer tokenizer_;
  Acoustic acoustic_;
  std::unique_ptr<DualArLm> lm_;  // by load(): --codes-in needs the codec only
  std::vector<Reference> references_;
};

}  // namespace ttsft::fish_s2_pro
