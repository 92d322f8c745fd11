// The pre-norm transformer or conformer layer of WeNet and ESPnet, with attention that sees
// relative positions (Transformer-XL, Dai et al. 2019; Conformer, Gulati et al. 2020). Member names
// are WeNet's (wenet/transformer/{attention,encoder_layer,convolution}.py), which CosyVoice and
// IndexTTS share.
#pragma once

#include <torch/torch.h>

#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"

namespace ttsft {

struct ConformerOptions {
  int64_t dim = 0, heads = 0;  // heads: rows of pos_bias_u
  int64_t ffn = 0;             // rows of feed_forward.w_1
  double norm_eps = 1e-5;
  // ESPnet's table of 2T - 1 relative positions, and score(i, j) uses position i - j. Off: WeNet
  // releases that dropped the shift; score(i, j) uses row j of a table of T absolute positions.
  bool rel_shift = true;
  int64_t conv_kernel = 0;  // of the convolution module, odd; 0: no such module, no norm_final
};

// Which frames of a batch count. Both are bool [B, T], true = yes; undefined: all of them.
struct ConformerMask {
  torch::Tensor
      keys;  // attended to, and not zeroed around the convolution module (upstream's mask)
  torch::Tensor rows;  // frames that the row has at all. With rows of unequal length each comes out
                       // as it would alone; frames beyond its length hold arbitrary numbers.
};

// sin in even columns, cos in odd ones: angle = position * 10000^(-2k / dim).
torch::Tensor sinusoidal_positions(const torch::Tensor& positions, int64_t dim);  // [P] -> [P, dim]
// Positions T-1 .. -(T-1), as ESPnet's relative table; [1, 2T - 1, dim]
torch::Tensor relative_positions(int64_t frames, int64_t dim, torch::TensorOptions options);
// Positions 0 .. T-1, as WeNet's buffer `pe`; [1, T, dim]
torch::Tensor absolute_positions(int64_t frames, int64_t dim, torch::TensorOptions options);

// Members: linear_q, linear_k, linear_v, linear_out (with bias), linear_pos, pos_bias_u,
// pos_bias_v.
class RelPositionAttentionImpl : public torch::nn::Module {
 public:
  explicit RelPositionAttentionImpl(const ConformerOptions& options);
  // positions: [1, 2T - 1, D] with rel_shift, else [1, T, D]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& positions,
                        const torch::Tensor& keys = {});  // [B, T, D]
  torch::Tensor pos_bias_u, pos_bias_v;                   // [heads, head_dim]

 private:
  torch::Tensor heads(const torch::Tensor& x) const;  // [B, T, D] -> [B, H, T, head_dim]

  ConformerOptions options_;
  Linear linear_q{nullptr}, linear_k{nullptr}, linear_v{nullptr}, linear_out{nullptr};
  Linear linear_pos{nullptr};
};
TORCH_MODULE(RelPositionAttention);

// w_2(silu(w_1(x)))
class ConformerFeedForwardImpl : public torch::nn::Module {
 public:
  explicit ConformerFeedForwardImpl(const ConformerOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, T, D]

 private:
  Linear w_1{nullptr}, w_2{nullptr};
};
TORCH_MODULE(ConformerFeedForward);

// pointwise_conv1, gated linear unit, depthwise_conv, norm (LayerNorm), SiLU, pointwise_conv2.
class ConformerConvolutionImpl : public torch::nn::Module {
 public:
  explicit ConformerConvolutionImpl(const ConformerOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const ConformerMask& mask = {});  // [B, T, D]

 private:
  int64_t kernel_;
  Conv1d pointwise_conv1{nullptr}, depthwise_conv{nullptr}, pointwise_conv2{nullptr};
  LayerNorm norm{nullptr};
};
TORCH_MODULE(ConformerConvolution);

// x += self_attn(norm_mha(x)); x += conv_module(norm_conv(x)); x += feed_forward(norm_ff(x));
// x = norm_final(x). Without a convolution module neither it nor norm_final exist.
class ConformerLayerImpl : public torch::nn::Module {
 public:
  explicit ConformerLayerImpl(const ConformerOptions& options);
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& positions,
                        const ConformerMask& mask = {});  // [B, T, D]

 private:
  RelPositionAttention self_attn{nullptr};
  ConformerFeedForward feed_forward{nullptr};
  ConformerConvolution conv_module{nullptr};
  LayerNorm norm_mha{nullptr}, norm_ff{nullptr}, norm_conv{nullptr}, norm_final{nullptr};
};
TORCH_MODULE(ConformerLayer);

}  // namespace ttsft
