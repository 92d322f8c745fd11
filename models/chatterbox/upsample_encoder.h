// S3Gen's UpsampleConformerEncoder: embedded speech codes -> twice as many
// vectors, from which a flow makes mel frames. Upstream: cosyvoice/transformer/upsample_encoder.py.
//   embed -> pre_lookahead_layer -> encoders -> up_layer (x2) -> up_embed -> up_encoders
//   -> after_norm
#pragma once

#include <torch/torch.h>

#include <vector>

#include "ttsft/codec/pre_lookahead.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conformer.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft::chatterbox {

struct UpsampleEncoderOptions {
  int64_t input = 0;              // width of the embedded codes
  int64_t dim = 0, heads = 0;     // of the layers
  int64_t ffn = 0;                //
  int64_t blocks = 0;             // before the upsampling
  int64_t up_blocks = 0;          // after it
  PreLookaheadOptions lookahead;  // as wide as the layers
  int64_t factor = 2;             // of the upsampling; its kernel is 2 factor + 1
  double embed_norm_eps = 1e-5;   // and of after_norm
  double layer_norm_eps = 1e-12;  // of the layers' norms
};

// All sizes from the shapes of the tensors under a prefix ("flow.encoder."). DataError when they
// are those of another network.
UpsampleEncoderOptions upsample_encoder_options(const TensorFile& file, const std::string& prefix);

// Linear, LayerNorm, times sqrt(dim). Child names: out.0, out.1.
class ScaledEmbedImpl : public torch::nn::Module {
 public:
  ScaledEmbedImpl(int64_t in, int64_t dim, double eps);
  torch::Tensor forward(const torch::Tensor& x);  // [B, T, in] -> [B, T, D]

 private:
  double scale_;
  Linear linear_{nullptr};
  LayerNorm norm_{nullptr};
};
TORCH_MODULE(ScaledEmbed);

class UpsampleEncoderImpl : public torch::nn::Module {
 public:
  explicit UpsampleEncoderImpl(const UpsampleEncoderOptions& options);

  // Rows of unequal length: valid frames of each in `lengths` (empty: all). Each row comes out as
  // it would alone; frames beyond factor * length hold arbitrary finite numbers.
  // Stages: embed, pre_lookahead, block<i>, last_block, up_layer ([B, D, T]), out.
  torch::Tensor forward(const torch::Tensor& x, const RowLengths& lengths = {},
                        const StageProbe& probe = {});  // [B, T, input] -> [B, factor T, D]

  const UpsampleEncoderOptions& options() const { return options_; }

 private:
  UpsampleEncoderOptions options_;
  ScaledEmbed embed{nullptr}, up_embed{nullptr};
  PreLookahead pre_lookahead_layer{nullptr};
  Conv1d up_conv_{nullptr};
  std::vector<ConformerLayer> encoders_, up_encoders_;
  LayerNorm after_norm{nullptr};
};
TORCH_MODULE(UpsampleEncoder);

}  // namespace ttsft::chatterbox
