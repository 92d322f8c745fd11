// Audio and text to a row of upstream's training format: the row as it came, plus "audio_codes".
// Source: qwen_tts 0.1.1, finetuning/prepare_data.py. Unlike there, each file is encoded as if
// alone: upstream pads the audio of a batch with zeros, which changes the last frame of a file
// depending on its neighbours.
#pragma once

#include <memory>

#include "models/qwen3_tts/codec_encoder.h"
#include "models/qwen3_tts/speakers.h"
#include "models/qwen3_tts/text.h"
#include "ttsft/model/adapter.h"

namespace ttsft::qwen3_tts {

class SpeechPreparer : public Preparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  std::string fingerprint() const override { return fingerprint_; }
  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override {
    return !utterance.row.contains("audio_codes");
  }
  void load(PrepItem& item) const override;
  int64_t length(const PrepItem& item) const override {
    return static_cast<int64_t>(item.wave.size());
  }
  void encode(std::span<PrepItem*> batch) override;
  int64_t batch_budget() const override;
  nlohmann::ordered_json finish(const std::vector<Utterance>& rows,
                                const std::filesystem::path& folder) override;

 private:
  void fill_row(PrepItem& item, const torch::Tensor& codes) const;

  const RunConfig& run_;
  Config config_;
  TextFrontend text_;
  torch::Device device_;
  std::string fingerprint_;
  CodecEncoder encoder_{nullptr};
};

}  // namespace ttsft::qwen3_tts
