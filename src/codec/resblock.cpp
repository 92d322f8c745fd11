#include "ttsft/codec/resblock.h"

namespace ttsft {
namespace {

int64_t half(int64_t kernel) {
  return (kernel - 1) / 2;
}

}  // namespace

ResBlockImpl::ResBlockImpl(int64_t channels, int64_t kernel, const std::vector<int64_t>& dilations,
                           bool causal)
    : causal_(causal) {
  auto convs1 = register_module("convs1", ModuleGroup());
  auto convs2 = register_module("convs2", ModuleGroup());
  for (size_t i = 0; i < dilations.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    ConvOptions conv{channels, channels, kernel};
    convs2_.push_back(convs2->add(at, Conv1d(conv)));
    conv.dilation = dilations[i];
    convs1_.push_back(convs1->add(at, Conv1d(conv)));
  }
}

torch::Tensor ResBlockImpl::convolve(Conv1d& conv, const torch::Tensor& x) const {
  const int64_t kernel = conv->options().effective_kernel();
  return causal_ ? conv(torch::constant_pad_nd(x, {kernel - 1, 0})) : conv(x, half(kernel));
}

torch::Tensor ResBlockImpl::forward(torch::Tensor x, const Rows& rows, const StageProbe& probe) {
  for (size_t i = 0; i < convs1_.size(); ++i) {
    torch::Tensor y = rows.zero_(activate(i, false, x, rows));
    if (probe && i == 0) probe("act0", y);
    y = convolve(convs1_[i], y);
    y = rows.zero_(activate(i, true, y, rows));
    x = x + convolve(convs2_[i], y);
  }
  return x;
}

SnakeResBlockImpl::SnakeResBlockImpl(int64_t channels, int64_t kernel,
                                     const std::vector<int64_t>& dilations, bool causal)
    : ResBlockImpl(channels, kernel, dilations, causal) {
  auto activations1 = register_module("activations1", ModuleGroup());
  auto activations2 = register_module("activations2", ModuleGroup());
  for (int64_t i = 0; i < std::ssize(dilations); ++i) {
    activations1_.push_back(activations1->add(i, Snake(channels)));
    activations2_.push_back(activations2->add(i, Snake(channels)));
  }
}

torch::Tensor SnakeResBlockImpl::activate(size_t pair, bool second, const torch::Tensor& x,
                                          const Rows& /*rows*/) {
  return second ? activations2_[pair](x) : activations1_[pair](x);
}

}  // namespace ttsft
