#include "ttsft/codec/dac.h"

namespace ttsft {

DacUnitImpl::DacUnitImpl(const DacUnitOptions& o) : activation_(o.activation) {
  ModuleGroup group;
  const auto add = [&](size_t place, auto module) {
    return o.group.empty() ? register_module(o.names[place], module)
                           : group->add(o.names[place], module);
  };
  const int64_t hidden = o.hidden > 0 ? o.hidden : o.channels;
  const auto activation = [&](size_t which, int64_t channels) {
    if (activation_ == DacActivation::kSnake)
      snakes_[which] = add(2 * which, Snake(channels, /*with_axes=*/true));
    if (activation_ == DacActivation::kSnakeBeta)
      betas_[which] = add(2 * which, SnakeBeta(channels));
  };
  activation(0, o.channels);
  conv1_ =
      add(1, CausalConv1d(ConvOptions{
                 .in = o.channels, .out = hidden, .kernel = o.kernel, .dilation = o.dilation}));
  activation(1, hidden);
  conv2_ = add(3, CausalConv1d(ConvOptions{.in = hidden, .out = o.channels}));
  if (!o.group.empty()) register_module(o.group, group);
}

torch::Tensor DacUnitImpl::activate(size_t which, const torch::Tensor& x) {
  switch (activation_) {
    case DacActivation::kSnake:
      return snakes_[which](x);
    case DacActivation::kSnakeBeta:
      return betas_[which](x);
    default:
      return torch::elu(x);
  }
}

torch::Tensor DacUnitImpl::forward(const torch::Tensor& x, ConvStream* stream) {
  return conv2_(activate(1, conv1_(activate(0, x), stream)), stream).add_(x);
}

torch::Tensor DacUnitImpl::forward_rows(const torch::Tensor& x, RowLengths& lengths) {
  // Every activation of 0 is 0, so what is zero beyond a row's length stays so.
  const torch::Tensor h = activate(1, conv1_->forward_rows(activate(0, x), lengths));
  return conv2_->forward_rows(h, lengths).add_(x);
}

DacUpBlockImpl::DacUpBlockImpl(const DacUpBlockOptions& o) {
  ModuleGroup block;
  int64_t index = 0;
  if (o.unit.activation == DacActivation::kSnake) snake_ = block->add(index, Snake(o.in, true));
  if (o.unit.activation == DacActivation::kSnakeBeta) beta_ = block->add(index, SnakeBeta(o.in));
  up_ = block->add(++index, CausalConvTranspose1d(ConvOptions{
                                .in = o.in, .out = o.out, .kernel = 2 * o.rate, .stride = o.rate}));
  for (const int64_t dilation : o.dilations) {
    DacUnitOptions unit = o.unit;
    unit.channels = o.out;
    unit.dilation = dilation;
    units_.push_back(block->add(++index, DacUnit(unit)));
  }
  register_module("block", block);
}

torch::Tensor DacUpBlockImpl::forward(const torch::Tensor& x, ConvStream* stream) {
  torch::Tensor h = snake_ ? snake_(x) : beta_ ? beta_(x) : torch::elu(x);
  h = up_(h, stream);
  for (DacUnit& unit : units_) h = unit(h, stream);
  return h;
}

}  // namespace ttsft
