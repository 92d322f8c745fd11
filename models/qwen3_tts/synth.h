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
  int64_t max_batch() const override { return device_.is_cuda() ? 8 : 4; }
  void load() override;  // the language model and the voice; the codec is loaded at once
  void begin(std::span<const Prompt> prompts, const DecodeOptions& options) override;
  void step() override;
  torch::Tensor finished() const override { return generator_->finished(); }
  std::vector<torch::Tensor> codes() override { return generator_->codes(); }
  std::vector<Audio> decode(const std::vector<torch::Tensor>& codes, bool after_prompt,
                            const Noise& noise) override;

  const FrameGenerator& generator() const { return *generator_; }
  PromptTensors prompt(const std::string& text);  // the prefill of one text, for the parity tests

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
  Qwen3Tts model_{nullptr};  // loaded by the first begin(): --codes-in needs the codec only
  std::unique_ptr<Acoustic> acoustic_;
  std::unique_ptr<FrameGenerator> generator_;
  PromptParts parts_;  // all of a prompt but its text
};

}  // namespace ttsft::qwen3_tts
