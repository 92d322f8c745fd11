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
  int64_t max_batch() const override { return device_.is_cuda() ? 8 : 4; }
  void load() override;  // T3; the decoder and the voice are loaded at once
  void begin(std::span<const Prompt> prompts, const DecodeOptions& options) override;
  void step() override;
  torch::Tensor finished() const override { return generator_->finished(); }
  std::vector<torch::Tensor> codes() override { return generator_->codes(); }
  std::vector<Audio> decode(const std::vector<torch::Tensor>& codes, bool after_prompt,
                            const Noise& noise) override;

  const CodeGenerator& generator() const { return *generator_; }  // for the parity tests

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
  std::unique_ptr<CodeGenerator> generator_;
  std::vector<uint64_t> seeds_;  // of begin()
};

}  // namespace ttsft::chatterbox
