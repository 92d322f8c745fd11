// Text to sound with a Qwen3-TTS checkpoint: prompts by mode, frames, waves.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/qwen3_tts/acoustic.h"
#include "models/qwen3_tts/generate.h"
#include "models/qwen3_tts/options.h"
#include "models/qwen3_tts/speakers.h"
#include "models/qwen3_tts/text.h"
#include "models/qwen3_tts/weights.h"
#include "ttsft/model/adapter.h"

namespace ttsft::qwen3_tts {

enum class Mode { kClone, kInContext, kCustomVoice, kVoiceDesign };

class SpeechSynthesizer : public Synthesizer {
 public:
  SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                    double lora_scale);

  std::vector<std::string> segments(const std::string& text) const override;
  void load() override;  // the language model and the voice; the codec is loaded at once
  SpeechLm& language_model() override { return *lm_; }
  torch::TensorOptions tensor_options() const override;
  DecodingPlan plan(const DecodeOptions& options) override;
  RowPrompt prompt(const std::string& segment, uint64_t seed,
                   std::span<const SpokenSegment> earlier) override;
  AcousticDecoder& acoustic() override { return *acoustic_; }
  std::vector<AcousticRow> acoustic_rows(std::span<const SpokenSegment> segments) override;

 private:
  void resolve_voice();
  Mode resolve_mode() const;
  int64_t resolve_language(const std::string& speaker) const;
  void read_reference();

  const RunConfig& run_;
  const Options& options_;
  CheckpointRef checkpoint_;
  double lora_scale_;
  std::filesystem::path base_;  // folder of the complete checkpoint
  torch::Device device_;
  torch::Dtype dtype_;
  Config config_;  // with an adapter's speakers added
  AdapterVoices voices_;
  TextFrontend text_;
  std::shared_ptr<SafetensorsReader> weights_, codec_weights_;
  Qwen3Tts model_{nullptr};  // by load(): --codes-in needs the codec only
  std::unique_ptr<Acoustic> acoustic_;
  std::unique_ptr<TalkerLm> lm_;
  PromptParts parts_;  // all of a prompt but its text
};

}  // namespace ttsft::qwen3_tts
