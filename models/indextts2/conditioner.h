// From w2v-BERT features of a recording to what the language model hears of it: 32 latents of the
// speaker and one vector of the emotion.
//
// Source: index-tts v2.0.0, indextts/gpt/{model_v2,conformer_encoder,perceiver}.py. Odd choices:
//   - the conformer dropped Transformer-XL's relative shift, so its "relative" positions are
//   absolute ones of the keys;
//   - the perceiver's layers have no norm, only its output has one;
//   - the length that masks the last frame is passed by training's preparation; synthesis passes a
//   number that masks nothing.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "models/indextts2/config.h"
#include "ttsft/nn/conformer.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft::indextts2 {

// WeNet's Conv2dSubsampling2: embed.{conv.0, out.0, pos_enc.pe}.
class SubsamplingImpl : public torch::nn::Module {
 public:
  explicit SubsamplingImpl(const ConditionerConfig& config);
  torch::Tensor forward(const torch::Tensor& features);  // [B, T, F] -> [B, (T - 1) / 2, C]
  torch::Tensor positions(int64_t frames) const;         // [1, frames, C]

 private:
  torch::nn::Conv2d conv_{nullptr};
  Linear out_{nullptr};
  torch::Tensor pe_;  // [1, positions, C]
};
TORCH_MODULE(Subsampling);

// conditioning_encoder, emo_conditioning_encoder
class ConformerEncoderImpl : public torch::nn::Module {
 public:
  explicit ConformerEncoderImpl(const ConditionerConfig& config);
  torch::Tensor forward(const torch::Tensor& features, const ConformerMask& mask,
                        const StageProbe& probe = {});  // [B, T, F] -> [B, T', C]

 private:
  Subsampling embed{nullptr};
  std::vector<ConformerLayer> encoders_;
  LayerNorm after_norm{nullptr};
};
TORCH_MODULE(ConformerEncoder);

// layers.{i}.0
class PerceiverAttentionImpl : public torch::nn::Module {
 public:
  PerceiverAttentionImpl(const ConditionerConfig& config);
  torch::Tensor forward(const torch::Tensor& latents, const torch::Tensor& context,
                        const torch::Tensor& mask);  // [B, L, D]

 private:
  int64_t heads_;
  Linear to_q{nullptr}, to_kv{nullptr}, to_out{nullptr};
};
TORCH_MODULE(PerceiverAttention);

// layers.{i}.1: "0", a gate with gelu, "2"
class PerceiverFeedForwardImpl : public torch::nn::Module {
 public:
  PerceiverFeedForwardImpl(const ConditionerConfig& config);
  torch::Tensor forward(const torch::Tensor& x);  // [B, L, D]

 private:
  Linear in_{nullptr}, out_{nullptr};
};
TORCH_MODULE(PerceiverFeedForward);

// Perceiver resampler (Alayrac et al. 2022): perceiver_encoder, emo_perceiver_encoder.
class PerceiverImpl : public torch::nn::Module {
 public:
  explicit PerceiverImpl(const ConditionerConfig& config);
  // keys: bool [B, T'], which frames are attended to; undefined: all.
  torch::Tensor forward(const torch::Tensor& x,
                        const torch::Tensor& keys);  // [B, T', C] -> [B, L, D]

 private:
  struct Layer {
    PerceiverAttention attention;
    PerceiverFeedForward feed_forward;
  };
  torch::Tensor latents;  // [L, D]
  torch::Tensor gamma_;   // [D], of the last norm
  Linear proj_context{nullptr};
  std::vector<Layer> layers_;
};
TORCH_MODULE(Perceiver);

// How many frames of each row of a batch there are, and how many count. Both int64 [B].
struct ConditionLengths {
  torch::Tensor valid = {};   // upstream's length argument; undefined: all
  torch::Tensor frames = {};  // rows are padded to the longest beyond this; undefined: none is
};

// The encoders of gpt.pth under their names there. float32, never trained.
class ConditionerImpl : public torch::nn::Module {
 public:
  explicit ConditionerImpl(const GptConfig& config);

  // features [B, T, F], float32, each row as if it were alone. T at least 3; DataError beyond the
  // table of positions.
  // The probe hears embed, conformer, mask (of the conformer) and perceiver.
  torch::Tensor condition(const torch::Tensor& features, const ConditionLengths& lengths = {},
                          const StageProbe& probe = {});  // [B, L, D]
  torch::Tensor emotion(const torch::Tensor& features, const ConditionLengths& lengths = {},
                        const StageProbe& probe = {});  // [B, D]

 private:
  ConformerEncoder conditioning_encoder{nullptr}, emo_conditioning_encoder{nullptr};
  Perceiver perceiver_encoder{nullptr}, emo_perceiver_encoder{nullptr};
  Linear emovec_layer{nullptr}, emo_layer{nullptr};
};
TORCH_MODULE(Conditioner);

}  // namespace ttsft::indextts2
