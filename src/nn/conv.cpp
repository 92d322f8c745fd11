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

torch::Tensor ConvStream::with_past(const torch::Tensor& x, int64_t frames) {
  if (frames == 0) return x;
  if (layer_ == past_.size())
    past_.push_back(torch::zeros({x.size(0), x.size(1), frames}, x.options()));
  torch::Tensor& past = past_[layer_++];
  const torch::Tensor joined = torch::cat({past, x}, -1);
  past =
      joined.narrow(-1, x.size(-1), frames).clone();  // not a view that keeps the whole piece alive
  return joined;
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

torch::Tensor CausalConv1dImpl::forward(const torch::Tensor& x, ConvStream* stream) {
  if (!stream) return convolve(x, nullptr);
  if (options_.stride != 1 || edge_ != EdgePadding::kZeros) {
    throw std::logic_error(
        "CausalConv1d: only a stride of 1 with zero edges can go on from a piece");
  }
  return conv(stream->with_past(x, options_.effective_kernel() - 1));
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
  if (edge_ == EdgePadding::kReplicate) {
    const Rows rows = lengths ? Rows(*lengths, time, x.device()) : Rows();
    return conv(rows.pad_replicate(x, left, right));
  }
  if (right <= left) {
    // The convolution's own padding on both sides, and the surplus frames cut off: no copy of x.
    const torch::Tensor y = conv(x, left);
    return y.size(-1) == frames ? y : y.narrow(-1, 0, frames);
  }
  return conv(torch::constant_pad_nd(x, {left, right}));
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

torch::Tensor CausalConvTranspose1dImpl::forward(const torch::Tensor& x, ConvStream* stream) {
  // An output frame is made of its own input and of those whose kernels reach it.
  const int64_t past = stream ? (options_.effective_kernel() - 1) / options_.stride : 0;
  const torch::Tensor y = conv(stream ? stream->with_past(x, past) : x);
  const int64_t start = past * options_.stride, length = x.size(-1) * options_.stride;
  return y.size(-1) == length ? y : y.narrow(-1, start, length);
}

}  // namespace ttsft
