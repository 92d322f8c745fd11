// Frames of codes to a wave, by the codec's decoder.
#pragma once

#include <memory>

#include "models/qwen3_tts/codec_decoder.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::qwen3_tts {

class Acoustic : public AcousticDecoder {
 public:
  // `codec` is speech_tokenizer/model.safetensors. float32.
  Acoustic(const std::shared_ptr<const TensorFile>& codec, const CodecConfig& config,
           torch::Device device);

  int sample_rate() const override { return static_cast<int>(config_.output_sample_rate); }
  // row.lead holds the frames of an in-context reference, [L, codebooks]. Nothing is random here,
  // so any row.noise is refused.
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;
  // A lead is cut off by its frames, which where decode() rounds down may be one sample more.
  std::unique_ptr<AcousticStream> stream(const AcousticRow& row) override;

 private:
  CodecConfig config_;
  torch::Device device_;
  CodecDecoder decoder_{nullptr};
};

}  // namespace ttsft::qwen3_tts
