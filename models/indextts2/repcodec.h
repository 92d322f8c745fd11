// MaskGCT's semantic codec (RepCodec, Huang et al. 2024, with a single codebook): w2v-BERT features
// -> one code per 20 ms, and the vector that stands for a code. Upstream: amphion,
// models/codec/kmeans/repcodec_model.py, and its quantize/factorized_vector_quantize.py. Only what
// encodes; the decoder stays in the file.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "models/indextts2/config.h"
#include "ttsft/codec/convnext.h"
#include "ttsft/io/tensor_file.h"
#include "ttsft/nn/conv.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/linear.h"
#include "ttsft/nn/probe.h"

namespace ttsft::indextts2 {

// Vocos' backbone. Child names: embed, norm, convnext.N, final_layer_norm.
class VocosBackboneImpl : public torch::nn::Module {
 public:
  explicit VocosBackboneImpl(const SemanticCodecConfig& config);
  torch::Tensor forward(const torch::Tensor& x,
                        const torch::Tensor& real);  // [B, T, hidden] -> [B, T, vocos_dim]

 private:
  Conv1d embed{nullptr};
  LayerNorm norm{nullptr}, final_layer_norm{nullptr};
  std::vector<ConvNeXt> blocks_;
};
TORCH_MODULE(VocosBackbone);

struct SemanticCodes {
  torch::Tensor codes;    // [T], int64
  torch::Tensor vectors;  // [T, hidden], vq2emb of the codes
};

class RepCodecImpl : public torch::nn::Module {
 public:
  explicit RepCodecImpl(const SemanticCodecConfig& config);

  // Features of recordings, each [T, hidden] (see SpeechEncoder), on the codec's device. Each as
  // if alone, however they are batched.
  std::vector<SemanticCodes> quantize(const std::vector<torch::Tensor>& features);

  torch::Tensor vq2emb(const torch::Tensor& codes);  // [..] int64 -> [.., hidden]

  void set_probe(StageProbe probe) { probe_ = std::move(probe); }

 private:
  torch::Tensor encode(const torch::Tensor& features,
                       const RowLengths& lengths);      // [B, T, hidden] -> [B, T, codebook_dim]
  torch::Tensor nearest(const torch::Tensor& vectors);  // [N, codebook_dim] -> [N]

  VocosBackbone backbone_{nullptr};
  Linear encoder_out_{nullptr};
  Conv1d in_project_{nullptr}, out_project_{nullptr};
  Embedding codebook_{nullptr};
  torch::Tensor directions_, norms_;  // codebook rows of length 1, and their squared lengths
  StageProbe probe_;
};
TORCH_MODULE(RepCodec);

// From semantic_codec_model.safetensors (or semantic_codec/model.safetensors), in float32.
// DataError when the tensors do not fit the configuration.
RepCodec load_repcodec(const std::shared_ptr<const TensorFile>& file,
                       const SemanticCodecConfig& config, torch::Device device);

}  // namespace ttsft::indextts2
