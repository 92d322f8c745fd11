// S3Gen behind the language model: speech codes and a reference voice -> wave at 24 kHz. Upstream:
// chatterbox/models/s3gen/s3gen.py, S3Token2Wav.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "models/chatterbox/flow.h"
#include "ttsft/codec/hift.h"
#include "ttsft/codec/s3_voice.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::chatterbox {

// Everything random about n codes, under the names of recorded noise. Frames: 2 (P + n); samples:
// 480 (2 (P + n) - F).
struct AcousticNoise {
  torch::Tensor z;             // [1, mels, frames], standard normal
  torch::Tensor phase;         // [1, harmonics, 1], radians
  torch::Tensor source_noise;  // [1, harmonics, samples], standard normal
};

class Acoustic : public AcousticDecoder {
 public:
  // heads and head_dim of the flow's U-Net; everything else follows from the file. float32.
  Acoustic(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
           S3Voice reference, torch::Device device);

  int sample_rate() const override { return static_cast<int>(hift_->options().sample_rate); }
  // row.codes [n]; noise by the names of AcousticNoise. Waves are faded in. DataError also for a
  // reference that does not fit.
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;

  // In upstream's order and amount: z, phase, source noise, and one more that nobody uses.
  AcousticNoise draw(torch::Generator& generator, int64_t codes) const;

 private:
  struct Lengths {
    int64_t frames = 0, samples = 0;
  };
  Lengths lengths(int64_t codes) const;
  AcousticNoise noise_for(const AcousticRow& row) const;
  void check(const torch::Tensor& codes, const AcousticNoise& noise) const;
  std::vector<torch::Tensor> speak(std::span<const AcousticRow> rows,
                                   const std::vector<size_t>& batch);

  torch::Device device_;
  S3Voice reference_;
  Flow flow_{nullptr};
  Hift hift_{nullptr};
  torch::Tensor fade_;  // [960]: 20 ms of silence, 20 ms to full loudness
};

}  // namespace ttsft::chatterbox
