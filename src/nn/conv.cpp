#include "ttsft/nn/conv.h"

#include <stdexcept>

namespace ttsft {

namespace {

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

torch::Tensor frozen(torch::nn::Module& module, const char* name, torch::IntArrayRef shape) {
  return module.register_parameter(name, torch::empty(shape), /*requires_grad=*/false);
}

}  // namespace

void zero_beyond_(torch::Tensor& x, const RowLengths& lengths) {
  const int64_t time = x.size(-1);
  if (static_cast<int64_t>(lengths.size()) != x.size(0)) {
    throw std::logic_error("zero_beyond_: " + std::to_string(lengths.size()) + " lengths for " +
                           std::to_string(x.size(0)) + " rows");
  }
  for (size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] < time) x[b].narrow(-1, lengths[b], time - lengths[b]).zero_();
  }
}

Conv1dImpl::Conv1dImpl(const ConvOptions& options) : options_(options) {
  weight = frozen(*this, "weight", {options.out, options.in / options.groups, options.kernel});
  if (options.bias) bias = frozen(*this, "bias", {options.out});
}

torch::Tensor Conv1dImpl::forward(const torch::Tensor& x, int64_t padding) {
  return torch::conv1d(x, weight, bias, options_.stride, padding, options_.dilation,
                       options_.groups);
}

CausalConv1dImpl::CausalConv1dImpl(const ConvOptions& options, EdgePadding edge)
    : options_(options), edge_(edge) {
  if (options.effective_kernel() < options.stride) {
    throw std::logic_error("CausalConv1d: the stride exceeds the kernel");
  }
  conv = register_module("conv", Conv1d(options));
}

torch::Tensor CausalConv1dImpl::forward(const torch::Tensor& x) {
  return convolve(x, nullptr);
}

torch::Tensor CausalConv1dImpl::forward_rows(const torch::Tensor& x, RowLengths& lengths) {
  torch::Tensor y = convolve(x, &lengths);
  for (int64_t& length : lengths) length = ceil_div(length, options_.stride);
  zero_beyond_(y, lengths);
  return y;
}

torch::Tensor CausalConv1dImpl::convolve(const torch::Tensor& x, const RowLengths* lengths) {
  const int64_t time = x.size(-1), stride = options_.stride;
  const int64_t frames = ceil_div(time, stride);
  const int64_t left = options_.effective_kernel() - stride, right = frames * stride - time;
  if (edge_ == EdgePadding::kReplicate) return conv(replicate_edges(x, lengths));
  if (right <= left) {
    // The convolution's own padding on both sides, and the surplus frames cut off: no copy of x.
    const torch::Tensor y = conv(x, left);
    return y.size(-1) == frames ? y : y.narrow(-1, 0, frames);
  }
  return conv(torch::constant_pad_nd(x, {left, right}));
}

torch::Tensor CausalConv1dImpl::replicate_edges(const torch::Tensor& x,
                                                const RowLengths* lengths) const {
  const int64_t time = x.size(-1), stride = options_.stride;
  const int64_t left = options_.effective_kernel() - stride;
  const int64_t right = ceil_div(time, stride) * stride - time;
  if (!lengths) return torch::replication_pad1d(x, {left, right});
  torch::Tensor padded = torch::constant_pad_nd(x, {left, right});  // [B, C, left + T + right]
  for (int64_t b = 0; b < x.size(0); ++b) {
    const int64_t length = (*lengths)[b];
    const int64_t fill = ceil_div(length, stride) * stride - length;
    torch::Tensor row = padded[b];
    if (left > 0) row.narrow(-1, 0, left).copy_(row.narrow(-1, left, 1).expand({-1, left}));
    if (fill > 0) {
      const torch::Tensor last = row.narrow(-1, left + length - 1, 1);
      row.narrow(-1, left + length, fill).copy_(last.expand({-1, fill}));
    }
  }
  return padded;
}

ConvTranspose1dImpl::ConvTranspose1dImpl(const ConvOptions& options) : options_(options) {
  weight = frozen(*this, "weight", {options.in, options.out / options.groups, options.kernel});
  if (options.bias) bias = frozen(*this, "bias", {options.out});
}

torch::Tensor ConvTranspose1dImpl::forward(const torch::Tensor& x) {
  return torch::conv_transpose1d(x, weight, bias, options_.stride, /*padding=*/0,
                                 /*output_padding=*/0, options_.groups, options_.dilation);
}

CausalConvTranspose1dImpl::CausalConvTranspose1dImpl(const ConvOptions& options)
    : options_(options) {
  if (options.effective_kernel() < options.stride) {
    throw std::logic_error("CausalConvTranspose1d: the stride exceeds the kernel");
  }
  conv = register_module("conv", ConvTranspose1d(options));
}

torch::Tensor CausalConvTranspose1dImpl::forward(const torch::Tensor& x) {
  const torch::Tensor y = conv(x);
  const int64_t length = x.size(-1) * options_.stride;
  return y.size(-1) == length ? y : y.narrow(-1, 0, length);
}

SnakeBetaImpl::SnakeBetaImpl(int64_t channels) {
  alpha = frozen(*this, "alpha", {channels});
  beta = frozen(*this, "beta", {channels});
}

torch::Tensor SnakeBetaImpl::forward(const torch::Tensor& x) {
  const torch::Tensor frequency = alpha.exp().unsqueeze(-1);                          // [C, 1]
  const torch::Tensor magnitude = beta.exp().add_(1e-9).reciprocal_().unsqueeze(-1);  // [C, 1]
  torch::Tensor wave = (x * frequency).sin_();
  return torch::addcmul(x, wave * magnitude, wave);
}

}  // namespace ttsft
