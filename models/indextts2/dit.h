// The estimator of S2Mel: a diffusion transformer (Peebles and Xie 2023) with U-Net skips, and a
// WaveNet behind it. Source: index-tts v2.0.0, indextts/s2mel/modules/{diffusion_transformer,
// gpt_fast/model,wavenet}.py, which come from Seed-VC.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "models/indextts2/config.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"
#include "ttsft/nn/rope.h"

namespace ttsft::indextts2 {

struct DitOptions {
  S2MelConfig s2mel;
  int64_t ffn = 0;          // rows of feed_forward.w1
  int64_t frequencies = 0;  // of the time embedding
};
// `prefix` ends before "transformer.". DataError: a tensor is missing.
DitOptions dit_options(const TensorFile& file, const std::string& prefix,
                       const S2MelConfig& config);

// RMSNorm whose scale and shift depend on the time: halves of project_layer(t).
class AdaptiveNormImpl : public torch::nn::Module {
 public:
  explicit AdaptiveNormImpl(int64_t dim);
  torch::Tensor modulation(const torch::Tensor& time) { return project_layer(time); }
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& modulation);  // [.., D], [2D]

 private:
  Linear project_layer{nullptr};
  RmsNorm norm{nullptr};
};
TORCH_MODULE(AdaptiveNorm);

class DitAttentionImpl : public torch::nn::Module {
 public:
  DitAttentionImpl(int64_t dim, int64_t heads);
  // [N, T, D]; keys: bool [N, 1, 1, T], true = heard, undefined: all.
  torch::Tensor forward(const torch::Tensor& x, const Rope& rope, const torch::Tensor& keys);

 private:
  int64_t heads_;
  Linear wqkv{nullptr}, wo{nullptr};
};
TORCH_MODULE(DitAttention);

// w2(silu(w1 x) * w3 x)
class DitFeedForwardImpl : public torch::nn::Module {
 public:
  DitFeedForwardImpl(int64_t dim, int64_t inner);
  torch::Tensor forward(const torch::Tensor& x) { return w2(torch::silu(w1(x)) * w3(x)); }

 private:
  Linear w1{nullptr}, w2{nullptr}, w3{nullptr};
};
TORCH_MODULE(DitFeedForward);

// skip_in_linear is in the file of every layer; layers of the second half use it.
class DitLayerImpl : public torch::nn::Module {
 public:
  explicit DitLayerImpl(const DitOptions& options);
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& skipped, const Rope& rope,
                        const torch::Tensor& keys, const torch::Tensor& attention_time,
                        const torch::Tensor& ffn_time);

  AdaptiveNorm attention_norm{nullptr}, ffn_norm{nullptr};

 private:
  DitAttention attention{nullptr};
  DitFeedForward feed_forward{nullptr};
  Linear skip_in_linear{nullptr};
};
TORCH_MODULE(DitLayer);

// freqs; mlp.0, SiLU, mlp.2
class TimeEmbeddingImpl : public torch::nn::Module {
 public:
  TimeEmbeddingImpl(int64_t frequencies, int64_t dim);
  torch::Tensor forward(const torch::Tensor& times);  // [S] -> [S, D]

 private:
  torch::Tensor freqs_;
  Linear first_{nullptr}, second_{nullptr};
};
TORCH_MODULE(TimeEmbedding);

// Dilated convolutions with reflected edges and gates that the time shifts (van den Oord et al.
// 2016). Names: in_layers.N.conv.conv, res_skip_layers.N.conv.conv, cond_layer.conv.conv.
class DitWaveNetImpl : public torch::nn::Module {
 public:
  explicit DitWaveNetImpl(const S2MelConfig& config);
  torch::Tensor condition(const torch::Tensor& time);  // [S, W] -> [S, 2 W layers]
  // [N, W, T], [2 W layers]; edges are reflected at each row's own end.
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& condition, const Rows& rows);

 private:
  int64_t width_, dilation_rate_;
  std::vector<Conv1d> in_, res_skip_;
  Conv1d cond_{nullptr};
};
TORCH_MODULE(DitWaveNet);

// LayerNorm, scaled and shifted by the time, and a linear. Names: linear, adaLN_modulation.1.
class DitFinalLayerImpl : public torch::nn::Module {
 public:
  DitFinalLayerImpl(int64_t dim, int64_t time_dim);
  torch::Tensor modulation(const torch::Tensor& time) { return modulation_(torch::silu(time)); }
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& modulation);  // [N, T, W]

 private:
  Linear linear{nullptr}, modulation_{nullptr};
};
TORCH_MODULE(DitFinalLayer);

class DitImpl : public torch::nn::Module {
 public:
  explicit DitImpl(const DitOptions& options);

  // What depends on the time alone, for all steps of a solver at once: a row for each.
  struct Schedule {
    std::vector<torch::Tensor> attention, ffn;  // per layer [S, 2D]
    torch::Tensor norm, wavenet, final;
  };
  Schedule schedule(const torch::Tensor& times);  // [S]

  // What does not change from step to step, of a guided run: B rows with prompt, condition and
  // style, then B rows with zeros in their places. guided false: the first B alone.
  torch::Tensor constant(const torch::Tensor& prompt,     // [B, mels, T]
                         const torch::Tensor& condition,  // [B, T, C]
                         const torch::Tensor& style,      // [B, S]
                         bool guided);                    // -> [N, T, D], N = 2 B or B

  // x [B, mels, T] -> velocities [N, mels, T]. `rows` are the N rows, for which each comes out as
  // it would alone. Stages: l0, transformer, wavenet, out.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& constant,
                        const Schedule& schedule, size_t step, const Rope& rope,
                        const Rows& rows = {}, const StageProbe& probe = {});
  Rope rope(int64_t frames, torch::Device device) const;

 private:
  DitOptions options_;
  std::vector<DitLayer> layers_;
  AdaptiveNorm norm_{nullptr};
  TimeEmbedding t_embedder{nullptr}, t_embedder2{nullptr};
  Linear cond_projection{nullptr}, cond_x_merge_linear{nullptr}, skip_linear{nullptr};
  Linear conv1{nullptr}, res_projection{nullptr};
  Conv1d conv2{nullptr};
  DitWaveNet wavenet{nullptr};
  DitFinalLayer final_layer{nullptr};
};
TORCH_MODULE(Dit);

}  // namespace ttsft::indextts2
