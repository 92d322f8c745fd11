#include "ttsft/codec/pre_lookahead.h"

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"

namespace ttsft {

PreLookaheadOptions pre_lookahead_options(const TensorFile& file, const std::string& prefix) {
  const Shape first = shape_of(file, prefix + "conv1.weight", 3);
  const Shape second = shape_of(file, prefix + "conv2.weight", 3);
  if (second[0] != first[1] || second[1] != first[0]) {
    throw DataError(prefix + "conv2.weight has the shape " + shape_text(second) +
                        " and does not lead back from " + std::to_string(first[0]) + " to " +
                        std::to_string(first[1]) + " channels",
                    file.path().string(), "is this the file of another model?");
  }
  return {first[1], first[0], first[2] - 1, second[2]};
}

PreLookaheadImpl::PreLookaheadImpl(const PreLookaheadOptions& o) {
  conv1 = register_module("conv1", Conv1d(ConvOptions{o.dim, o.inner, o.lookahead + 1}));
  conv2 = register_module("conv2", Conv1d(ConvOptions{o.inner, o.dim, o.lookahead_kernel}));
}

torch::Tensor PreLookaheadImpl::forward(const torch::Tensor& x) {
  const int64_t ahead = conv1->options().kernel - 1, back = conv2->options().kernel - 1;
  torch::Tensor y = conv1(torch::constant_pad_nd(x.transpose(1, 2), {0, ahead}));
  y = conv2(torch::constant_pad_nd(torch::leaky_relu(y, 0.01), {back, 0}));
  return y.transpose(1, 2) + x;
}

}  // namespace ttsft
