// Codes and a voice -> wave at 24 kHz: the flow, then the vocoder. Upstream: cosyvoice/cli/model.py
// (CosyVoice3Model.token2wav).
#pragma once

#include <memory>
#include <vector>

#include "models/cosyvoice3/flow.h"
#include "models/cosyvoice3/hift.h"
#include "ttsft/codec/s3_voice.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::cosyvoice3 {

class Acoustic : public AcousticDecoder {
 public:
  // speed: of speech, 1 as spoken.
  Acoustic(Flow flow, CausalHift hift, S3Voice voice, double speed, torch::Device device);

  int sample_rate() const override { return static_cast<int>(hift_->options().sample_rate); }
  // row.codes [n]. Noise: flow_rand_noise [mels, frames or more], of which the first are used;
  // sine_tile [N, harmonics], repeated as often as it takes; rand_ini is not heard. Drawn:
  // upstream's table for the flow, which is the same for all, and the row's own for the vocoder.
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;

 private:
  torch::Tensor flow_noise(const AcousticRow& row, int64_t frames) const;   // [mels, frames]
  torch::Tensor sine_noise(const AcousticRow& row, int64_t samples) const;  // [samples, harmonics]
  std::vector<torch::Tensor> speak(std::span<const AcousticRow> rows,
                                   const std::vector<size_t>& batch);

  Flow flow_;
  CausalHift hift_;
  S3Voice voice_;
  double speed_;
  torch::Device device_;
};

}  // namespace ttsft::cosyvoice3
