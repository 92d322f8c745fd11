// S3Gen behind the language model: speech codes and a reference voice -> wave at 24 kHz. Upstream:
// chatterbox/models/s3gen/s3gen.py, S3Token2Wav.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <span>
#include <vector>

#include "models/chatterbox/flow.h"
#include "ttsft/codec/hift.h"

namespace ttsft::chatterbox {

// The voice that the flow continues.
struct Reference {
  torch::Tensor prompt_token;  // [P] int64, codes of the reference
  torch::Tensor prompt_feat;   // [F, mels], its log-mel at 24 kHz, F <= 2P
  torch::Tensor embedding;     // [192], its x-vector
};

// Everything random about n codes, under the names of recorded noise. Frames: 2 (P + n); samples:
// 480 (2 (P + n) - F).
struct AcousticNoise {
  torch::Tensor z;             // [1, mels, frames], standard normal
  torch::Tensor phase;         // [1, harmonics, 1], radians
  torch::Tensor source_noise;  // [1, harmonics, samples], standard normal
};

struct AcousticInput {
  torch::Tensor codes;  // [n] int64, n >= 1, each below the size of the table
  Reference reference;
  AcousticNoise noise;
};

class Acoustic {
 public:
  // heads and head_dim of the flow's U-Net; everything else follows from the file. float32.
  Acoustic(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
           torch::Device device);

  // In upstream's order and amount: z, phase, source noise, and one more that nobody uses.
  AcousticNoise draw(torch::Generator& generator, const Reference& reference, int64_t codes) const;

  // [samples], faded in. DataError: no codes or codes outside the table, a reference that does not
  // fit, noise of a wrong shape.
  torch::Tensor wave(const torch::Tensor& codes, const Reference& reference,
                     const AcousticNoise& noise);
  // Several, of any lengths: the flow runs once for all of them. Each comes out as it would alone.
  std::vector<torch::Tensor> waves(std::span<const AcousticInput> inputs);

  int64_t codes() const { return flow_.options().codes; }

 private:
  struct Lengths {
    int64_t frames = 0, samples = 0;
  };
  Lengths lengths(const Reference& reference, int64_t codes) const;
  void check(const AcousticInput& input) const;

  torch::Device device_;
  Flow flow_;
  Hift hift_{nullptr};
  torch::Tensor fade_;  // [960]: 20 ms of silence, 20 ms to full loudness
};

}  // namespace ttsft::chatterbox
