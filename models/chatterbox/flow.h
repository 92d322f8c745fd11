// S3Gen's flow: speech codes -> mel frames, two per code, by conditional flow matching. Upstream:
// chatterbox/models/s3gen/{flow,flow_matching,decoder}.py.
//   codes -> input_embedding -> encoder (x2) -> encoder_proj = mu
//   noise -> 10 Euler steps of a U-Net that sees mu, the speaker and the prompt's mel -> mel
// All convolutions of the U-Net look backwards only, attention sees everything.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "models/chatterbox/upsample_encoder.h"
#include "ttsft/codec/token_flow.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft::chatterbox {

struct UNetOptions {
  int64_t input = 0;     // channels: x, mu, speaker, condition
  int64_t channels = 0;  // inside
  int64_t mels = 0;
  int64_t time = 0;  // width of the time embedding
  int64_t ffn = 0;
  int64_t down_depth = 0, mid_depth = 0, up_depth = 0;  // transformer blocks of a stage
  int64_t mid_stages = 0;
  int64_t heads = 0, head_dim = 0;
};

struct FlowOptions {
  TokenFlowOptions tokens;
  UpsampleEncoderOptions encoder;
  UNetOptions unet;
};

// Sizes from the shapes under "flow."; heads and head_dim of the U-Net are the caller's knowledge.
// DataError when they do not fit.
FlowOptions flow_options(const TensorFile& s3gen, int64_t heads, int64_t head_dim);

// Causal convolution, LayerNorm over channels, Mish. Child names: block.0, block.2.
class CausalBlockImpl : public torch::nn::Module {
 public:
  CausalBlockImpl(int64_t in, int64_t out);
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T]

 private:
  Conv1d conv_{nullptr};
  LayerNorm norm_{nullptr};
};
TORCH_MODULE(CausalBlock);

// Child names: mlp.1, block1, block2, res_conv.
class CausalResnetImpl : public torch::nn::Module {
 public:
  CausalResnetImpl(int64_t in, int64_t out, int64_t time);
  // What a time adds between the two blocks: [N, time] -> [N, C]
  torch::Tensor time_shift(const torch::Tensor& time);
  // [B, C, T]; the shift of each row [B, C], or of all [1, C]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& shift);

 private:
  Linear mlp_{nullptr};
  CausalBlock block1{nullptr}, block2{nullptr};
  Conv1d res_conv{nullptr};
};
TORCH_MODULE(CausalResnet);

// diffusers' BasicTransformerBlock without cross attention. Child names: norm1, attn1.to_q, to_k,
// to_v, to_out.0, norm3, ff.net.0.proj, ff.net.2.
class UNetTransformerImpl : public torch::nn::Module {
 public:
  UNetTransformerImpl(const UNetOptions& options);
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& keys);  // [B, T, C], [B, 1, 1, T]

 private:
  int64_t heads_;
  LayerNorm norm1{nullptr}, norm3{nullptr};
  Linear to_q_{nullptr}, to_k_{nullptr}, to_v_{nullptr}, to_out_{nullptr};
  Linear up_{nullptr}, down_{nullptr};
};
TORCH_MODULE(UNetTransformer);

// A resnet and transformer blocks; child names 0 and 1.0, 1.1, ... In `down` and `up` stages a
// causal convolution follows under the name 2.
class UNetStageImpl : public torch::nn::Module {
 public:
  UNetStageImpl(const UNetOptions& options, int64_t in, int64_t depth, bool with_conv);
  torch::Tensor transform(torch::Tensor x, const torch::Tensor& shift, const torch::Tensor& keys,
                          const StageProbe& probe, const std::string& name);  // [B, C, T]
  torch::Tensor convolve(const torch::Tensor& x);                             // [B, C, T]
  CausalResnet& resnet() { return resnet_; }

 private:
  CausalResnet resnet_{nullptr};
  std::vector<UNetTransformer> blocks_;
  Conv1d conv_{nullptr};
};
TORCH_MODULE(UNetStage);

// ConditionalDecoder: down_blocks.0, mid_blocks.*, up_blocks.0, final_block, final_proj, time_mlp.
// Its input channels are x, mu, speaker and prompt.
class UNetImpl : public torch::nn::Module, public FlowEstimator {
 public:
  explicit UNetImpl(const UNetOptions& options);

  // What each stage adds at each of N times: per stage (down, mid.., up) [N, C]. Stage:
  // "dec.time_mlp" [1, time], of the first.
  std::vector<torch::Tensor> embed_times(const torch::Tensor& times,
                                         const StageProbe& probe = {}) override;
  // Stages: "dec.down_resnet", "dec.down_tfm0", "dec.mid_last", "dec.final_block" and their like.
  torch::Tensor velocity(const torch::Tensor& x, const std::vector<torch::Tensor>& time,
                         const FlowConditions& given, const StageProbe& probe = {}) override;

 private:
  UNetOptions options_;
  Linear time_1_{nullptr}, time_2_{nullptr};
  std::vector<UNetStage> stages_;  // down, mid..., up
  CausalBlock final_block{nullptr};
  Conv1d final_proj{nullptr};
};
TORCH_MODULE(UNet);

// Everything under "flow.". Stages of the encoder are named "enc.*".
class FlowImpl : public TokenFlowImpl {
 public:
  explicit FlowImpl(const FlowOptions& options);
  FlowEstimator& network() override { return *estimator_; }

 protected:
  torch::Tensor encode(const torch::Tensor& embedded, const RowLengths& lengths,
                       const StageProbe& probe) override;

 private:
  UpsampleEncoder encoder{nullptr};
  Linear encoder_proj{nullptr};
  UNet estimator_{nullptr};  // decoder.estimator
};
TORCH_MODULE(Flow);

// s3gen: a whole file with names below "flow.". The weights stay float32.
Flow load_flow(const std::shared_ptr<const TensorFile>& s3gen, int64_t heads, int64_t head_dim,
               torch::Device device);

}  // namespace ttsft::chatterbox
