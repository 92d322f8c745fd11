// The estimator of CosyVoice 3's flow: a diffusion transformer (Peebles and Xie 2023) whose only
// positions are two causal convolutions and a rotation of the first head. Upstream:
// cosyvoice/flow/DiT/{dit,modules}.py, from F5-TTS.
//   x, prompt, mu, speaker side by side -> input_embed -> blocks shifted and scaled by the time
//   -> norm_out -> velocity
#pragma once

#include <torch/torch.h>

#include <vector>

#include "ttsft/codec/token_flow.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/rope.h"

namespace ttsft::cosyvoice3 {

struct DitOptions {
  int64_t dim = 0, depth = 0, heads = 0, head_dim = 0, ffn = 0;
  int64_t mels = 0, input = 0;     // input: channels of input_embed.proj
  int64_t frequencies = 0;         // of the time embedding, sines and cosines
  int64_t kernel = 0, groups = 0;  // of the position convolutions
  double dropout = 0;              // while training
};

// From the shapes under a prefix ("decoder.estimator."). DataError when they do not fit together.
DitOptions dit_options(const TensorFile& flow, const std::string& prefix);

// Child names: attn_norm.linear, attn.{to_q, to_k, to_v, to_out.0}, ff.ff.{0.0, 2}.
class DitBlockImpl : public torch::nn::Module {
 public:
  explicit DitBlockImpl(const DitOptions& options);
  // Shift, scale and gate of attention, then of the feed-forward part: silu(time) [N, D] -> [N, 6D]
  torch::Tensor modulation(const torch::Tensor& time) { return norm_(time); }
  // x [B, T, D]; modulation [B or 1, 6D]; visible: bool, broadcast to [B, 1, T, T], undefined: all.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& modulation, const Rope& rope,
                        const torch::Tensor& visible, const StageProbe& probe = {});

 private:
  torch::Tensor attend(const torch::Tensor& x, const Rope& rope, const torch::Tensor& visible);

  int64_t heads_;
  double dropout_;
  Linear norm_{nullptr};
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr}, to_out_{nullptr};
  Linear up_{nullptr}, down_{nullptr};
};
TORCH_MODULE(DitBlock);

// Child names: time_embed.time_mlp.{0, 2}, input_embed.{proj, conv_pos_embed.{conv1.0, conv2.0}},
// rotary_embed.inv_freq, transformer_blocks.N, norm_out.linear, proj_out.
class DitImpl : public torch::nn::Module, public FlowEstimator, public Recomputing {
 public:
  explicit DitImpl(const DitOptions& options);

  // silu of the time's embedding [N, D]; where nothing is trained also what each block and the last
  // norm make of it. Stage: time_embed, of the first.
  std::vector<torch::Tensor> embed_times(const torch::Tensor& times,
                                         const StageProbe& probe = {}) override;
  // Stages: input_embed, attn0, block0 [B, T, D], velocity [B, mels, T].
  torch::Tensor velocity(const torch::Tensor& x, const std::vector<torch::Tensor>& time,
                         const FlowConditions& given, const StageProbe& probe = {}) override;

 private:
  torch::Tensor embed(const torch::Tensor& x, const FlowConditions& given);  // [B, T, D]
  Rope rope(int64_t frames) const;

  DitOptions options_;
  Linear time_1_{nullptr}, time_2_{nullptr};
  Linear proj_{nullptr};
  Conv1d position_1_{nullptr}, position_2_{nullptr};
  torch::Tensor inv_freq_;  // [head_dim / 2]
  std::vector<DitBlock> blocks_;
  Linear norm_out_{nullptr}, proj_out{nullptr};
};
TORCH_MODULE(Dit);

}  // namespace ttsft::cosyvoice3
