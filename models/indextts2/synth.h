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
  int64_t max_batch() const override { return device_.is_cuda() ? 8 : 4; }
  void load() override;  // the GPT; what decodes and the voice are loaded at once
  void begin(std::span<const Prompt> prompts, const DecodeOptions& options) override;
  void step() override;
  torch::Tensor finished() const override { return generator_->finished(); }
  std::vector<torch::Tensor> codes() override;
  std::vector<Audio> decode(const std::vector<torch::Tensor>& codes, bool after_prompt,
                            const Noise& noise) override;

  const Voice& voice() const { return voice_; }  // for the parity tests

 private:
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
  std::unique_ptr<CodeGenerator> generator_;
  // Ids of the segments that segments() made: the words of one do not always give them back.
  mutable std::map<std::string, std::vector<int64_t>> segment_ids_;
  std::vector<SpeechPrompt> prompts_;  // of begin()
  std::vector<uint64_t> seeds_;
};

}  // namespace ttsft::indextts2
