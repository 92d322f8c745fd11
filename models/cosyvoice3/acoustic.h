// Codes and a voice -> wave at 24 kHz: the flow, then the vocoder. Upstream: cosyvoice/cli/model.py
// (CosyVoice3Model.token2wav).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/cosyvoice3/flow.h"
#include "models/cosyvoice3/hift.h"
#include "ttsft/codec/s3_voice.h"
#include "ttsft/model/acoustic.h"

namespace ttsft::cosyvoice3 {

struct AcousticOptions {
  double speed = 1;          // of speech, 1 as spoken
  int64_t chunk_codes = 25;  // of streamed speech, which hears its own chunk and those before it
  bool chunked = false;      // decode() hears in chunks too
};

class Acoustic : public AcousticDecoder {
 public:
  Acoustic(Flow flow, CausalHift hift, S3Voice voice, const AcousticOptions& options,
           torch::Device device);

  int sample_rate() const override { return static_cast<int>(hift_->options().sample_rate); }
  // row.codes [n]. Noise: flow_rand_noise [mels, frames or more], of which the first are used;
  // sine_tile [N, harmonics], repeated as often as it takes; rand_ini is not heard. Drawn:
  // upstream's table for the flow, which is the same for all, and the row's own for the vocoder.
  std::vector<torch::Tensor> decode(std::span<const AcousticRow> rows) override;
  // What it makes is what decode() makes with `chunked`. The first piece comes after a chunk and
  // the codes that its end looks ahead to; pieces double up to four chunks, as upstream's, since
  // each runs the flow from the start. UsageError: speed is not 1.
  std::unique_ptr<AcousticStream> stream(const AcousticRow& row) override;

  // A part of the codes of one row, from the first on -> mel frames [mels, T]. ahead: the last of
  // them are only heard.
  torch::Tensor frames_of(const AcousticRow& row, const torch::Tensor& codes, int64_t ahead);
  // [mels, T] -> [n]; final: as CausalHift.
  torch::Tensor wave_of(const AcousticRow& row, const torch::Tensor& mel, bool final);

  const AcousticOptions& options() const { return options_; }
  int64_t prompt_codes() const { return voice_.prompt_token.numel(); }
  int64_t codes_ahead() const { return flow_->codes_ahead(); }

 private:
  FlowRow flow_row(const AcousticRow& row, const torch::Tensor& codes, int64_t ahead);
  FlowReach reach(bool chunked, int64_t ahead) const;
  torch::Tensor flow_noise(const AcousticRow& row, int64_t frames);         // [mels, frames]
  torch::Tensor sine_noise(const AcousticRow& row, int64_t samples) const;  // [samples, harmonics]
  std::vector<torch::Tensor> speak(std::span<const AcousticRow> rows,
                                   const std::vector<size_t>& batch);

  Flow flow_;
  CausalHift hift_;
  S3Voice voice_;
  AcousticOptions options_;
  torch::Device device_;
  torch::Tensor table_;  // of the flow's noise [mels, kTableFrames], drawn when first needed
};

}  // namespace ttsft::cosyvoice3
