// From frames to a wave: the codec's decoder, whole or as the frames come.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <span>
#include <vector>

#include "models/voxtral/codec.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::voxtral {

class Acoustic : public AcousticDecoder {
 public:
  explicit Acoustic(Codec codec) : codec_(std::move(codec)) {}

  int sample_rate() const override { return static_cast<int>(codec_.config().sample_rate); }
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;
  // Each piece is decoded behind the frames that it hears, which is all that the decoder ever does.
  std::unique_ptr<AcousticStream> stream(const AcousticRow& row) override;

  Codec& codec() { return codec_; }

 private:
  Codec codec_;
};

}  // namespace ttsft::voxtral
