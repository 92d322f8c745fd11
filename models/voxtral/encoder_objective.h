// The losses that an encoder learns from, its decoder frozen (specification section 9.4; the
// paper's own training had a discriminator and a distilled Whisper, neither of which was
// published).
//
// Of recordings: what the decoder makes of the quantised numbers must sound like them (terms wave,
// spectrum, mel), and semantic vectors must lie near an entry (commitment). While training, codes
// are quantised straight through for some clips, blurred or passed for others, as in the paper.
// Of clips that the decoder itself has spoken, whose codes are known: those codes (terms semantic,
// entry, acoustic). They tie the semantic codes to what the language model knows.
#pragma once

#include <torch/torch.h>

#include <span>
#include <string>
#include <vector>

#include "models/voxtral/codec.h"
#include "ttsft/features/mel.h"
#include "ttsft/model/draw.h"
#include "ttsft/model/stage.h"

namespace ttsft::voxtral {

struct EncoderSample : Sample {
  torch::Tensor wave;   // [N] at 24 kHz; undefined: a clip that the decoder speaks
  torch::Tensor codes;  // [T, 37] of such a clip
};

struct EncoderBatch : Batch {
  torch::Tensor waves;                      // [R, N] of recordings
  std::vector<int64_t> samples;             // of each
  torch::Tensor wave_row;                   // [R]
  torch::Tensor vq, fsq, blur, shift;       // [R, 1, 1] flags and [R, T, 36] in -1..1
  torch::Tensor codes;                      // [S, T, 37] of clips that the decoder speaks
  std::vector<int64_t> frames;              // of each
  torch::Tensor frame_position, frame_row;  // [F]: their frames among [S * T]

  void each(const std::function<void(torch::Tensor&)>& visit) override;
};

// The clip of known codes that goes beside a recording of `frames` frames; draws belong to `id`.
using AnchorCodes = std::function<torch::Tensor(const std::string& id, int64_t frames,
                                                const Draw& draw)>;  // [frames, 37]

class EncoderObjective {
 public:
  // codec: with its quantizer and decoder. synthetic_weight 0: recordings alone.
  EncoderObjective(Codec codec, double synthetic_weight, AnchorCodes anchors);

  EncoderBatch collate(std::span<const EncoderSample* const> samples, const Draw& draw) const;
  std::vector<LossTerm> loss(CodecEncoder& encoder, const EncoderBatch& batch, bool accuracy);

 private:
  void add_real(CodecEncoder& encoder, const EncoderBatch& batch, std::vector<LossTerm>& terms);
  void add_synthetic(CodecEncoder& encoder, const EncoderBatch& batch, bool accuracy,
                     std::vector<LossTerm>& terms);

  Codec codec_;
  double synthetic_weight_;
  AnchorCodes anchors_;
  MelExtractor mel_;
};

}  // namespace ttsft::voxtral
