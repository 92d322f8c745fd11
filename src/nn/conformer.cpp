#include "ttsft/nn/conformer.h"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace ttsft {

namespace {

// Zero where the frame does not count; mask bool [B, T], x [B, T, D].
torch::Tensor keep(const torch::Tensor& x, const torch::Tensor& mask) {
  return mask.defined() ? x.masked_fill(~mask.unsqueeze(-1), 0) : x;
}

torch::Tensor pointwise(const Conv1d& conv, const torch::Tensor& x) {
  return torch::linear(x, conv->weight.squeeze(-1), conv->bias);
}

// scores [B, H, T, 2T - 1] by relative position T-1 .. -(T-1) -> [B, H, T, T]: entry (i, j) is
// column T - 1 - i + j of row i, so that a view with a shorter row stride does it.
torch::Tensor shift(const torch::Tensor& scores) {
  const torch::Tensor x = scores.contiguous();
  const int64_t time = x.size(2), wide = x.size(3);
  return x.as_strided({x.size(0), x.size(1), time, time}, {x.stride(0), x.stride(1), wide - 1, 1},
                      x.storage_offset() + time - 1);
}

}  // namespace

torch::Tensor sinusoidal_positions(const torch::Tensor& positions, int64_t dim) {
  const auto options = torch::TensorOptions().dtype(torch::kFloat32).device(positions.device());
  const torch::Tensor frequency =
      (torch::arange(0, dim, 2, options) * -(std::log(10000.0) / static_cast<double>(dim))).exp();
  const torch::Tensor angle = positions.to(torch::kFloat32).unsqueeze(1) * frequency;  // [P, dim/2]
  return torch::stack({angle.sin(), angle.cos()}, -1).flatten(1).narrow(1, 0, dim);
}

torch::Tensor relative_positions(int64_t frames, int64_t dim, torch::TensorOptions options) {
  const auto wide = torch::TensorOptions().dtype(torch::kFloat32).device(options.device());
  const torch::Tensor positions = torch::arange(frames - 1, -frames, -1, wide);
  return sinusoidal_positions(positions, dim).to(options).unsqueeze(0);
}

torch::Tensor absolute_positions(int64_t frames, int64_t dim, torch::TensorOptions options) {
  const auto wide = torch::TensorOptions().dtype(torch::kFloat32).device(options.device());
  return sinusoidal_positions(torch::arange(frames, wide), dim).to(options).unsqueeze(0);
}

RelPositionAttentionImpl::RelPositionAttentionImpl(const ConformerOptions& options)
    : options_(options) {
  if (options.heads <= 0 || options.dim % options.heads != 0) {
    throw std::logic_error("RelPositionAttention: the heads do not divide the width");
  }
  const int64_t dim = options.dim;
  linear_q = register_module("linear_q", Linear(dim, dim, true));
  linear_k = register_module("linear_k", Linear(dim, dim, true));
  linear_v = register_module("linear_v", Linear(dim, dim, true));
  linear_out = register_module("linear_out", Linear(dim, dim, true));
  linear_pos = register_module("linear_pos", Linear(dim, dim));
  const std::vector<int64_t> shape{options.heads, dim / options.heads};
  pos_bias_u = register_parameter("pos_bias_u", torch::empty(shape));
  pos_bias_v = register_parameter("pos_bias_v", torch::empty(shape));
}

torch::Tensor RelPositionAttentionImpl::heads(const torch::Tensor& x) const {
  return x.unflatten(-1, {options_.heads, -1}).transpose(1, 2);
}

torch::Tensor RelPositionAttentionImpl::forward(const torch::Tensor& x,
                                                const torch::Tensor& positions,
                                                const torch::Tensor& keys) {
  const int64_t time = x.size(1);
  if (positions.size(1) != (options_.rel_shift ? 2 * time - 1 : time)) {
    throw std::logic_error("RelPositionAttention: the table of positions is of another length");
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(pos_bias_u.size(1)));
  torch::Tensor q = heads(linear_q(x)), k = heads(linear_k(x));
  const torch::Tensor v = heads(linear_v(x)), p = heads(linear_pos(positions));
  const torch::Tensor bias_u = pos_bias_u.unsqueeze(1), bias_v = pos_bias_v.unsqueeze(1);
  torch::Tensor bias;  // of the scores, on top of q k^T
  if (options_.rel_shift) {
    bias = shift(torch::matmul((q + bias_v) * scale, p.transpose(-2, -1)));  // [B, H, T, T]
    q = q + bias_u;
  } else {
    // (q + u) k + (q + v) p = q (k + p) + u k + v p, whose last two terms depend on the key alone.
    bias = ((k * bias_u + p * bias_v).sum(-1) * scale).unsqueeze(2);  // [B, H, 1, T]
    k = k + p;
  }
  if (keys.defined()) {
    bias =
        bias.masked_fill(~keys.unsqueeze(1).unsqueeze(1), -std::numeric_limits<double>::infinity());
  }
  const torch::Tensor y = torch::scaled_dot_product_attention(q, k, v, bias, 0.0, false, scale);
  return linear_out(y.transpose(1, 2).flatten(2));
}

ConformerFeedForwardImpl::ConformerFeedForwardImpl(const ConformerOptions& options) {
  w_1 = register_module("w_1", Linear(options.dim, options.ffn, true));
  w_2 = register_module("w_2", Linear(options.ffn, options.dim, true));
}

torch::Tensor ConformerFeedForwardImpl::forward(const torch::Tensor& x) {
  return w_2(torch::silu(w_1(x)));
}

ConformerConvolutionImpl::ConformerConvolutionImpl(const ConformerOptions& options)
    : kernel_(options.conv_kernel) {
  if (kernel_ % 2 == 0) throw std::logic_error("ConformerConvolution: the kernel is even");
  const int64_t dim = options.dim;
  pointwise_conv1 = register_module("pointwise_conv1", Conv1d(ConvOptions{dim, 2 * dim}));
  ConvOptions depthwise{dim, dim, kernel_};
  depthwise.groups = dim;
  depthwise_conv = register_module("depthwise_conv", Conv1d(depthwise));
  norm = register_module("norm", LayerNorm(dim, options.norm_eps));
  pointwise_conv2 = register_module("pointwise_conv2", Conv1d(ConvOptions{dim, dim}));
}

torch::Tensor ConformerConvolutionImpl::forward(const torch::Tensor& x, const ConformerMask& mask) {
  torch::Tensor y = torch::glu(pointwise(pointwise_conv1, keep(x, mask.keys)), -1);
  // Frames that a row has but that are masked come out of the gate as its bias; frames that it has
  // not must look like the convolution's own padding.
  y = keep(y, mask.rows);
  y = depthwise_conv(y.transpose(1, 2), kernel_ / 2).transpose(1, 2);
  return keep(pointwise(pointwise_conv2, torch::silu(norm(y))), mask.keys);
}

ConformerLayerImpl::ConformerLayerImpl(const ConformerOptions& options) {
  self_attn = register_module("self_attn", RelPositionAttention(options));
  feed_forward = register_module("feed_forward", ConformerFeedForward(options));
  norm_mha = register_module("norm_mha", LayerNorm(options.dim, options.norm_eps));
  norm_ff = register_module("norm_ff", LayerNorm(options.dim, options.norm_eps));
  if (options.conv_kernel == 0) return;
  conv_module = register_module("conv_module", ConformerConvolution(options));
  norm_conv = register_module("norm_conv", LayerNorm(options.dim, options.norm_eps));
  norm_final = register_module("norm_final", LayerNorm(options.dim, options.norm_eps));
}

torch::Tensor ConformerLayerImpl::forward(torch::Tensor x, const torch::Tensor& positions,
                                          const ConformerMask& mask) {
  const torch::Tensor& keys = mask.keys.defined() ? mask.keys : mask.rows;
  x = x + self_attn(norm_mha(x), positions, keys);
  if (conv_module) x = x + conv_module(norm_conv(x), mask);
  x = x + feed_forward(norm_ff(x));
  return norm_final ? norm_final(x) : x;
}

}  // namespace ttsft
