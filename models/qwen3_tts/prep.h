// Audio and text to a row of upstream's training format: the row as it came, plus "audio_codes".
// Source: qwen_tts 0.1.1, finetuning/prepare_data.py. Unlike there, each file is encoded as if
// alone: upstream pads the audio of a batch with zeros, which changes the last frame of a file
// depending on its neighbours.
#pragma once

#include <memory>

#include "models/qwen3_tts/codec_encoder.h"
#include "models/qwen3_tts/speakers.h"
#include "models/qwen3_tts/text.h"
#include "ttsft/model/recording_preparer.h"

namespace ttsft::qwen3_tts {

class SpeechPreparer : public RecordingPreparer {
 public:
  explicit SpeechPreparer(const ModelContext& context);

  AudioLimits limits() const override;
  bool needs_audio(const Utterance& utterance) const override {
    return !utterance.row.contains("audio_codes");
  }
  void load(PrepItem& item) const override;
  bool needs_reference(const Utterance& utterance) const override;
  nlohmann::ordered_json finish(const KeptSet& set, const std::filesystem::path& folder) override;
  std::vector<std::string> set_files() const override { return {"speakers.safetensors"}; }

 private:
  void encode_recordings(std::span<PrepItem* const> items) override;
  void take_encoded(PrepItem& item) override;
  void fill_row(PrepItem& item, const torch::Tensor& codes) const;
  // The mean over each speaker's references; `described` says how many.
  Speakers read_speakers(const std::vector<Utterance>& rows,
                         nlohmann::ordered_json& described) const;

  Config config_;
  TextFrontend text_;
  CodecEncoder encoder_{nullptr};
};

}  // namespace ttsft::qwen3_tts
