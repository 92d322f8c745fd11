// The look-ahead in front of CosyVoice's flows (2, 3 and Chatterbox): two convolutions that let
// each embedded speech code hear the next few. Upstream: cosyvoice/transformer/upsample_encoder.py,
// PreLookaheadLayer.
#pragma once

#include <torch/torch.h>

#include <string>

#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"

namespace ttsft {

struct PreLookaheadOptions {
  int64_t dim = 0;               // of the frames
  int64_t inner = 0;             // channels between the convolutions
  int64_t lookahead = 3;         // frames that the first convolution sees ahead
  int64_t lookahead_kernel = 3;  // of the second one, which sees backwards
};

// All sizes from the shapes of the tensors under a prefix ("flow.pre_lookahead_layer."). DataError
// when there are none.
PreLookaheadOptions pre_lookahead_options(const TensorFile& file, const std::string& prefix);

// x + conv2(leaky_relu(conv1(x))): conv1 sees the next frames, conv2 the last ones. Zeros behind
// the last frame, so rows that are shorter than the batch must hold zeros behind their ends.
class PreLookaheadImpl : public torch::nn::Module {
 public:
  explicit PreLookaheadImpl(const PreLookaheadOptions& options);
  torch::Tensor forward(const torch::Tensor& x);  // [B, T, dim]

 private:
  Conv1d conv1{nullptr}, conv2{nullptr};
};
TORCH_MODULE(PreLookahead);

}  // namespace ttsft
