// Codes and what the GPT adds to them -> mel -> wave at 22.05 kHz. Source: index-tts v2.0.0,
// indextts/infer_v2.py (specification section 10, items 6 to 9).
#pragma once

#include "models/indextts2/options.h"
#include "models/indextts2/repcodec.h"
#include "models/indextts2/s2mel.h"
#include "ttsft/codec/bigvgan.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::indextts2 {

class Acoustic : public AcousticDecoder {
 public:
  // The codec and S2Mel have made the voice already. Reads the vocoder; float32. DataError: it is
  // made for another mel.
  Acoustic(const Config& config, const Options& options, RepCodec codec, S2Mel s2mel,
           MelPrompt voice, torch::Device device);

  int sample_rate() const override { return static_cast<int>(vocoder_->options().sample_rate); }
  // row.codes [F] or [F, 1]; row.states are of the GPT's second pass, [F, D]. Noise: "noise",
  // [mels, prompt + target].
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;

 private:
  torch::Tensor checked(const torch::Tensor& codes) const;  // [F] on the device
  torch::Tensor noise_for(const AcousticRow& row, int64_t frames) const;
  // [T, C]: what the flow is conditioned on. The regulator's norms run over the whole of a row, so
  // each goes alone.
  torch::Tensor condition_of(const AcousticRow& row, const torch::Tensor& codes);

  torch::Device device_;
  int64_t mels_, codebook_size_;
  FlowOptions flow_;
  double duration_factor_;
  RepCodec codec_;
  S2Mel s2mel_;
  MelPrompt voice_;
  BigVgan vocoder_{nullptr};
};

}  // namespace ttsft::indextts2
