// Text to speech: modes, prompts and voices of CosyVoice 3.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/cosyvoice3/acoustic.h"
#include "models/cosyvoice3/generate.h"
#include "models/cosyvoice3/options.h"
#include "models/cosyvoice3/text.h"
#include "models/cosyvoice3/voice.h"
#include "ttsft/model/adapter.h"
#include "ttsft/model/synthesizer.h"

namespace ttsft::cosyvoice3 {

enum class Mode { kZeroShot, kInstruct, kCrossLingual, kSft };

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
  torch::Tensor heard(const torch::Tensor& codes) const override;
  AcousticDecoder& acoustic() override { return *acoustic_; }

 private:
  Mode resolve_mode() const;
  Voice resolve_voice() const;
  // What a voice stands in: of the checkpoints, the first that has it.
  std::filesystem::path folder_of_voice() const;

  const RunConfig& run_;
  const Options& options_;
  ModelContext context_;
  CheckpointSet checkpoints_;
  double lora_scale_;
  std::filesystem::path base_;
  Config config_;
  TextFrontend text_;
  Mode mode_;
  Voice voice_;
  LmPrompt lm_prompt_;
  std::unique_ptr<Acoustic> acoustic_;
  std::unique_ptr<SpeechModel> lm_;
  bool warned_ = false;
};

}  // namespace ttsft::cosyvoice3
