// CosyVoice 3's vocoder: HiFT (codec/hift.h) with convolutions that look backwards, but for three
// frames ahead of the pitch and four of the mel, so that speech can be made while it is spoken.
// Upstream: cosyvoice/hifigan/{generator,f0_predictor}.py (CausalHiFTGenerator).
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "ttsft/codec/hift.h"
#include "ttsft/codec/resblock.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft::cosyvoice3 {

// Child names: condnet.0, .2, ..., classifier. In float64, as upstream runs it: a pitch beside the
// threshold of voice decides whether a frame hums or hisses.
class CausalF0PredictorImpl : public torch::nn::Module {
 public:
  CausalF0PredictorImpl(const HiftOptions& options, int64_t later_kernel);
  // [B, mels, T] -> Hz [B, T], or [B, T - ahead] where the last frames are only context.
  torch::Tensor forward(const torch::Tensor& mel, const Rows& rows, bool final);
  int64_t ahead() const { return convs_.front()->options().kernel - 1; }  // 3 frames

 private:
  std::vector<Conv1d> convs_;
  Linear classifier{nullptr};
};
TORCH_MODULE(CausalF0Predictor);

// Expects folded weight norm (fold_weight_norm). Child names as HiftImpl's; ups are plain
// convolutions behind a repetition of frames.
class CausalHiftImpl : public torch::nn::Module {
 public:
  CausalHiftImpl(const HiftOptions& options, int64_t f0_later_kernel);

  // mel [B, mels, T] -> [B, T * 480]; noise [B, T * 480, harmonics], uniform in [0, 1). Rows of
  // unequal length must be zero beyond their ends; each wave is what it would be alone.
  // final false, one row: the last frames are only context, and what depends on frames to come is
  // left out: [1, (T - held_back()) * 480].
  // Stages, first scale: f0, source, conv_pre, ups0, source_downs0, resblocks0 (the mean of all),
  // the last scale's ups2, and conv_post.
  torch::Tensor forward(const torch::Tensor& mel, const torch::Tensor& noise, const Rows& rows = {},
                        bool final = true, const StageProbe& probe = {});

  int64_t held_back() const;  // frames: 8
  const HiftOptions& options() const { return options_; }

 private:
  torch::Tensor source(const torch::Tensor& f0, const torch::Tensor& noise);  // [B, 1, N]
  torch::Tensor decode(const torch::Tensor& mel, const torch::Tensor& source, Rows rows, bool final,
                       const StageProbe& probe);

  HiftOptions options_;
  CausalF0Predictor f0_predictor{nullptr};
  Linear source_linear_{nullptr};  // m_source.l_linear
  Conv1d conv_pre{nullptr}, conv_post{nullptr};
  std::vector<Conv1d> ups_, source_downs_;
  std::vector<SnakeResBlock> source_resblocks_, resblocks_;
};
TORCH_MODULE(CausalHift);

// hift.pt, its names with or without "generator." in front.
CausalHift load_causal_hift(const std::shared_ptr<const TensorFile>& file, torch::Device device);

}  // namespace ttsft::cosyvoice3
