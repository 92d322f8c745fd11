#include "models/indextts2/repcodec.h"

#include "ttsft/codec/rvq.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/weights.h"

namespace ttsft::indextts2 {
namespace {

constexpr double kNormEpsilon = 1e-6;
constexpr double kSmallestLength = 1e-12;  // of a vector that is normalised
constexpr int64_t kKernel = 7;
constexpr int64_t kBatchPositions = 12000;

torch::Tensor unit(const torch::Tensor& x) {
  return x / x.norm(2, -1, /*keepdim=*/true).clamp_min_(kSmallestLength);
}

// Zeros beyond each row's end, which a convolution then hears as it hears the end of a row alone.
torch::Tensor masked(const torch::Tensor& x, const torch::Tensor& real) {
  return real.defined() ? x * real : x;
}

// A convolution of kernel 1 over the last dimension.
torch::Tensor project(const Conv1d& conv, const torch::Tensor& x) {
  return torch::linear(x, conv->weight.squeeze(-1), conv->bias);
}

}  // namespace

VocosBackboneImpl::VocosBackboneImpl(const SemanticCodecConfig& config) {
  const int64_t dim = config.vocos_dim;
  embed = register_module(
      "embed", Conv1d(ConvOptions{.in = config.hidden_size, .out = dim, .kernel = kKernel}));
  norm = register_module("norm", LayerNorm(dim, kNormEpsilon));
  ModuleGroup convnext;
  const ConvNeXtOptions block{dim, config.vocos_intermediate_dim, kKernel, /*causal=*/false};
  for (int64_t i = 0; i < config.vocos_num_layers; ++i) {
    blocks_.push_back(convnext->add(i, ConvNeXt(block)));
  }
  register_module("convnext", convnext);
  final_layer_norm = register_module("final_layer_norm", LayerNorm(dim, kNormEpsilon));
}

torch::Tensor VocosBackboneImpl::forward(const torch::Tensor& x, const torch::Tensor& real) {
  torch::Tensor h = norm(embed(x.transpose(1, 2), kKernel / 2).transpose(1, 2));
  h = masked(h.transpose(1, 2), real);  // [B, C, T]
  for (ConvNeXt& block : blocks_) h = masked(block(h), real);
  return final_layer_norm(h.transpose(1, 2));
}

RepCodecImpl::RepCodecImpl(const SemanticCodecConfig& config) {
  ModuleGroup encoder, quantizer, quantizers, first;
  backbone_ = encoder->add(0, VocosBackbone(config));
  encoder_out_ = encoder->add(1, Linear(config.vocos_dim, config.hidden_size, /*with_bias=*/true));
  register_module("encoder", encoder);
  const int64_t hidden = config.hidden_size, dim = config.codebook_dim;
  in_project_ = first->add("in_project", Conv1d(ConvOptions{.in = hidden, .out = dim}));
  out_project_ = first->add("out_project", Conv1d(ConvOptions{.in = dim, .out = hidden}));
  codebook_ = first->add("codebook", Embedding(config.codebook_size, dim));
  quantizers->add(0, first);
  quantizer->add("quantizers", quantizers);
  register_module("quantizer", quantizer);
}

torch::Tensor RepCodecImpl::encode(const torch::Tensor& features, const RowLengths& lengths) {
  const auto show = [&](const char* stage, const torch::Tensor& x) {
    if (probe_) probe_(stage, x);
  };
  torch::Tensor real = real_frames(lengths, features.size(1), features.device());
  if (real.defined()) real = real.unsqueeze(1).to(features.scalar_type());  // [B, 1, T]
  torch::Tensor x = backbone_(features, real);
  show("backbone", x);
  x = encoder_out_(x);
  show("encoder_out", x);
  x = project(in_project_, x);
  show("in_project", x);
  return x;
}

torch::Tensor RepCodecImpl::nearest(const torch::Tensor& vectors) {
  if (!directions_.defined()) {
    directions_ = unit(codebook_->weight);
    norms_ = row_norms(directions_);
  }
  return nearest_rows(unit(vectors), directions_, norms_);
}

std::vector<SemanticCodes> RepCodecImpl::quantize(const std::vector<torch::Tensor>& features) {
  c10::InferenceMode guard;
  std::vector<int64_t> sizes;
  for (const torch::Tensor& clip : features) {
    if (clip.dim() != 2 || clip.size(0) < 1 || clip.size(1) != out_project_->options().out) {
      throw std::logic_error("RepCodec: features are not [T, " +
                             std::to_string(out_project_->options().out) + "]");
    }
    sizes.push_back(clip.size(0));
  }
  std::vector<SemanticCodes> all(features.size());
  for (const std::vector<size_t>& batch : length_batches(sizes, kBatchPositions)) {
    std::vector<torch::Tensor> rows;
    RowLengths lengths;
    for (const size_t i : batch) {
      rows.push_back(features[i]);
      lengths.push_back(sizes[i]);
    }
    const torch::Tensor encoded = encode(pad_rows(rows), lengths);
    std::vector<torch::Tensor> real;  // no search for what stands in for padding
    for (size_t row = 0; row < batch.size(); ++row) {
      real.push_back(encoded[static_cast<int64_t>(row)].narrow(0, 0, lengths[row]));
    }
    const std::vector<torch::Tensor> codes = nearest(torch::cat(real)).split_with_sizes(lengths);
    for (size_t row = 0; row < batch.size(); ++row) {
      all[batch[row]] = {codes[row].clone(), vq2emb(codes[row])};
    }
  }
  return all;
}

torch::Tensor RepCodecImpl::vq2emb(const torch::Tensor& codes) {
  return project(out_project_, codebook_(codes));
}

RepCodec load_repcodec(const std::shared_ptr<const TensorFile>& file,
                       const SemanticCodecConfig& config, torch::Device device) {
  RepCodec codec(config);
  load_strict(*codec, fold_weight_norm(file),
              {.device = device, .skip = {{"decoder.", "codes back to features, never needed"}}});
  codec->eval();
  return codec;
}

}  // namespace ttsft::indextts2
