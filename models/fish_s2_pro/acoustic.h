// From frames to a wave: the codec's decoder, whole or as the frames come.
#pragma once

#include <torch/torch.h>

#include "models/fish_s2_pro/codec.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::fish_s2_pro {

class Acoustic : public AcousticDecoder {
 public:
  explicit Acoustic(Codec codec) : codec_(std::move(codec)) {}

  int sample_rate() const override { return kCodecRate; }
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;
  std::unique_ptr<AcousticStream> stream(const AcousticRow& row) override;

  Codec& codec() { return codec_; }

 private:
  Codec codec_;
};

}  // namespace ttsft::fish_s2_pro
