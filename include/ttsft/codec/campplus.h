// CAM++ speaker network (Wang et al. 2023, arXiv 2303.00332; 3D-Speaker's campplus): filterbank
// energies -> one vector of the talker. Several speech models carry a copy of it.
//   2-D residual head (frequency / 8) -> TDNN (time / 2) -> dense blocks with context-aware masks
//   -> mean and deviation over time -> vector
// Batch normalisation is frozen and folded into the convolutions in front of it, here or already in
// the file: an export to ONNX keeps only the norms that no convolution stands directly in front of.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "ttsft/features/fbank.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/probe.h"

namespace ttsft {

// The means of segments, whose last one has fewer frames than the others.
enum class SegmentMean {
  kOfItsFrames,  // over the frames that are there: PyTorch, and what the network was trained with
  kOfAll,        // over 100 frames always: onnxruntime 1.18, which CosyVoice 3 pins
};

struct CampplusOptions {
  int64_t bins = 80;           // of the filterbank
  int64_t head_channels = 32;  // of the 2-D convolutions
  std::vector<int64_t> head_blocks = {2, 2};
  int64_t width = 128;                         // in front of the dense blocks
  std::vector<int64_t> layers = {12, 24, 16};  // of each dense block
  std::vector<int64_t> dilations = {1, 2, 2};  // of each dense block
  int64_t growth = 32;                         // channels that a dense layer adds
  int64_t bottleneck = 128, mask_hidden = 64;  // within a dense layer
  int64_t embedding = 192;
  // The file has biases in place of the norms behind head.*, tdnn, each dense layer's linear1 and
  // the last transit, where nothing but the ReLU remains of out_nonlinear; and no
  // num_batches_tracked.
  bool folded = false;
  SegmentMean segment_mean = SegmentMean::kOfItsFrames;
};

// The dimensions of the network that a file holds under a prefix. DataError when it holds none, or
// its shapes contradict each other.
CampplusOptions read_campplus_options(const TensorFile& file, const std::string& prefix);

// torch.nn.BatchNorm's five tensors (three without affine; one less without the count of batches),
// which eval mode turns into one scale and one shift per channel.
class FrozenBatchNormImpl : public torch::nn::Module {
 public:
  FrozenBatchNormImpl(int64_t channels, bool affine, bool counted);
  torch::Tensor scale() const;  // [C]
  torch::Tensor shift() const;  // [C]

 private:
  torch::Tensor weight, bias;  // undefined without affine
  torch::Tensor running_mean, running_var, num_batches_tracked;
};
TORCH_MODULE(FrozenBatchNorm);

// A convolution over frequency and time, with a bias in folded files. Child names: weight, bias.
class PlainConv2dImpl : public torch::nn::Module {
 public:
  PlainConv2dImpl(int64_t in, int64_t out, int64_t kernel, bool with_bias);
  torch::Tensor weight, bias;  // [out, in, kernel, kernel], [out] or undefined
};
TORCH_MODULE(PlainConv2d);

// What remains of a convolution and the batch normalisation behind it.
struct FoldedConv {
  torch::Tensor weight, bias;
};

// Child names: conv1, bn1, conv2, bn2, and shortcut.0, shortcut.1 where the block halves the
// frequencies.
class CampplusResidualImpl : public torch::nn::Module {
 public:
  CampplusResidualImpl(int64_t channels, bool halve, bool folded);
  void fold();
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, F, T] -> [B, C, F or F / 2, T]

 private:
  int64_t stride_;
  PlainConv2d conv1{nullptr}, conv2{nullptr}, shortcut_conv_{nullptr};
  FrozenBatchNorm bn1{nullptr}, bn2{nullptr}, shortcut_norm_{nullptr};
  FoldedConv first_, second_, shortcut_;
};
TORCH_MODULE(CampplusResidual);

// Child names: conv1, bn1, layerN.M, conv2, bn2.
class CampplusHeadImpl : public torch::nn::Module {
 public:
  explicit CampplusHeadImpl(const CampplusOptions& options);
  void fold();
  torch::Tensor forward(const torch::Tensor& x,
                        const StageProbe& probe);  // [B, F, T] -> [B, C F / 8, T]

 private:
  PlainConv2d conv1{nullptr}, conv2{nullptr};
  FrozenBatchNorm bn1{nullptr}, bn2{nullptr};
  std::vector<std::vector<CampplusResidual>> layers_;
  FoldedConv first_, last_;
};
TORCH_MODULE(CampplusHead);

// One layer of a dense block: what it adds to the channels. A mask per segment of 100 frames, made
// from the means of the clip and of the segment, weights the frames' own convolution. Child names:
// nonlinear1.batchnorm, linear1, nonlinear2.batchnorm, cam_layer.{linear_local, linear1, linear2}.
class CampplusDenseLayerImpl : public torch::nn::Module {
 public:
  CampplusDenseLayerImpl(const CampplusOptions& options, int64_t in, int64_t dilation);
  void fold();
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, growth, T]

 private:
  int64_t dilation_;
  SegmentMean segment_mean_;
  FrozenBatchNorm norm1_{nullptr}, norm2_{nullptr};
  Conv1d linear1{nullptr}, local_{nullptr}, mask1_{nullptr}, mask2_{nullptr};
  torch::Tensor scale_, shift_;  // [C, 1]
  FoldedConv narrow_;
};
TORCH_MODULE(CampplusDenseLayer);

// Batch normalisation, ReLU and a 1x1 convolution to half the channels. Child names:
// nonlinear.batchnorm, linear.
class CampplusTransitImpl : public torch::nn::Module {
 public:
  // folded_behind: the norm that follows is folded into this convolution.
  CampplusTransitImpl(int64_t channels, const CampplusOptions& options, bool folded_behind);
  void fold();
  torch::Tensor forward(const torch::Tensor& x);  // [B, C, T] -> [B, C / 2, T]

 private:
  FrozenBatchNorm norm_{nullptr};
  Conv1d linear{nullptr};
  torch::Tensor scale_, shift_;  // [C, 1]
};
TORCH_MODULE(CampplusTransit);

class CampplusImpl : public torch::nn::Module {
 public:
  explicit CampplusImpl(const CampplusOptions& options);

  // After the weights have come: forward() uses what this computes from them.
  void fold();

  // Filterbank energies, the mean over time taken off, of clips of one length: [B, T, bins] ->
  // [B, embedding], float32. DataError for fewer than 3 frames.
  torch::Tensor forward(const torch::Tensor& fbank);

  // Clips of any length at 16 kHz, full scale 1, each [N] -> [embedding] each, on the network's
  // device. Clips of equal length run as one batch, others alone: the means over time would hear
  // padding.
  std::vector<torch::Tensor> embed(const std::vector<torch::Tensor>& waves);

  const CampplusOptions& options() const { return options_; }
  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  torch::Tensor dense_block(size_t index, const torch::Tensor& x);

  CampplusOptions options_;
  CampplusHead head{nullptr};
  Conv1d tdnn_{nullptr}, dense_{nullptr};
  FrozenBatchNorm tdnn_norm_{nullptr}, out_norm_{nullptr}, dense_norm_{nullptr};
  std::vector<std::vector<CampplusDenseLayer>> blocks_;
  std::vector<CampplusTransit> transits_;
  FoldedConv tdnn_folded_, dense_folded_;
  torch::Tensor out_scale_, out_shift_;  // [C, 1]; undefined in folded networks
  std::unique_ptr<FbankExtractor> fbank_;
  StageProbe probe_;
};
TORCH_MODULE(Campplus);

// The energies that the network was made with: Kaldi's at 16 kHz, the mean over time taken off.
FbankOptions campplus_fbank_options(int64_t bins = 80);

// Strictly from the tensors <prefix>head.* and <prefix>xvector.*, in float32; all dimensions come
// from their shapes.
Campplus load_campplus(const std::shared_ptr<const TensorFile>& file, const std::string& prefix,
                       torch::Device device,
                       SegmentMean segment_mean = SegmentMean::kOfItsFrames);

}  // namespace ttsft
