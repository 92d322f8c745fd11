#include "ttsft/codec/campplus.h"

#include <map>

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"
#include "ttsft/nn/weights.h"

namespace ttsft {

namespace {

constexpr double kNormEpsilon = 1e-5;
constexpr int64_t kTdnnKernel = 5, kTdnnStride = 2, kLocalKernel = 3;
constexpr int64_t kSegment = 100;  // frames that share a mask
constexpr int64_t kMinFrames = 3;  // two behind the TDNN, or there is no deviation

torch::Tensor frozen(torch::nn::Module& module, const char* name, torch::IntArrayRef shape) {
  return module.register_parameter(name, torch::empty(shape), /*requires_grad=*/false);
}

Conv1d conv(int64_t in, int64_t out, bool bias = false, int64_t kernel = 1, int64_t stride = 1,
            int64_t dilation = 1) {
  return Conv1d(ConvOptions{.in = in,
                            .out = out,
                            .kernel = kernel,
                            .stride = stride,
                            .dilation = dilation,
                            .bias = bias});
}

// Batch normalisation under the name that upstream's Sequential gives it.
FrozenBatchNorm add_nonlinear(torch::nn::Module& parent, const std::string& name, int64_t channels,
                              bool counted, bool affine = true) {
  ModuleGroup nonlinear;
  const FrozenBatchNorm norm =
      nonlinear->add("batchnorm", FrozenBatchNorm(channels, affine, counted));
  parent.register_module(name, nonlinear);
  return norm;
}

// Any convolution of ours and the norm behind it, if the file has not folded that.
template <typename Conv>
FoldedConv fold_conv(const Conv& conv, const FrozenBatchNorm& norm) {
  const torch::Tensor& weight = conv->weight;
  if (norm.is_empty()) return {weight, conv->bias};
  std::vector<int64_t> per_row(static_cast<size_t>(weight.dim()), 1);
  per_row[0] = weight.size(0);
  return {(weight * norm->scale().view(per_row)).contiguous(), norm->shift()};
}

torch::Tensor conv2d(const torch::Tensor& x, const FoldedConv& folded, int64_t stride,
                     int64_t padding) {
  return torch::conv2d(x, folded.weight, folded.bias, {stride, 1}, padding);
}

torch::Tensor scaled_relu(const torch::Tensor& x, const torch::Tensor& scale,
                          const torch::Tensor& shift) {
  return torch::addcmul(shift, x, scale).relu_();
}

}  // namespace

FrozenBatchNormImpl::FrozenBatchNormImpl(int64_t channels, bool affine, bool counted) {
  if (affine) {
    weight = frozen(*this, "weight", {channels});
    bias = frozen(*this, "bias", {channels});
  }
  running_mean = register_buffer("running_mean", torch::empty({channels}));
  running_var = register_buffer("running_var", torch::empty({channels}));
  if (!counted) return;
  num_batches_tracked = register_buffer("num_batches_tracked", torch::zeros({}, torch::kInt64));
}

torch::Tensor FrozenBatchNormImpl::scale() const {
  const torch::Tensor factor = (running_var + kNormEpsilon).rsqrt_();
  return weight.defined() ? factor * weight : factor;
}

torch::Tensor FrozenBatchNormImpl::shift() const {
  const torch::Tensor offset = -running_mean * scale();
  return bias.defined() ? offset + bias : offset;
}

PlainConv2dImpl::PlainConv2dImpl(int64_t in, int64_t out, int64_t kernel, bool with_bias) {
  weight = frozen(*this, "weight", {out, in, kernel, kernel});
  if (with_bias) bias = frozen(*this, "bias", {out});
}

CampplusResidualImpl::CampplusResidualImpl(int64_t channels, bool halve, bool folded)
    : stride_(halve ? 2 : 1) {
  conv1 = register_module("conv1", PlainConv2d(channels, channels, 3, folded));
  conv2 = register_module("conv2", PlainConv2d(channels, channels, 3, folded));
  if (!folded) {
    bn1 = register_module("bn1", FrozenBatchNorm(channels, true, true));
    bn2 = register_module("bn2", FrozenBatchNorm(channels, true, true));
  }
  if (!halve) return;
  ModuleGroup shortcut;
  shortcut_conv_ = shortcut->add(0, PlainConv2d(channels, channels, 1, folded));
  if (!folded) shortcut_norm_ = shortcut->add(1, FrozenBatchNorm(channels, true, true));
  register_module("shortcut", shortcut);
}

void CampplusResidualImpl::fold() {
  first_ = fold_conv(conv1, bn1);
  second_ = fold_conv(conv2, bn2);
  if (!shortcut_conv_.is_empty()) shortcut_ = fold_conv(shortcut_conv_, shortcut_norm_);
}

torch::Tensor CampplusResidualImpl::forward(const torch::Tensor& x) {
  torch::Tensor h = conv2d(x, first_, stride_, 1).relu_();
  h = conv2d(h, second_, 1, 1);
  return h.add_(shortcut_.weight.defined() ? conv2d(x, shortcut_, stride_, 0) : x).relu_();
}

CampplusHeadImpl::CampplusHeadImpl(const CampplusOptions& options) {
  const int64_t channels = options.head_channels;
  conv1 = register_module("conv1", PlainConv2d(1, channels, 3, options.folded));
  for (size_t i = 0; i < options.head_blocks.size(); ++i) {
    ModuleGroup layer;
    std::vector<CampplusResidual> blocks;
    for (int64_t j = 0; j < options.head_blocks[i]; ++j) {
      blocks.push_back(layer->add(j, CampplusResidual(channels, /*halve=*/j == 0, options.folded)));
    }
    register_module("layer" + std::to_string(i + 1), layer);
    layers_.push_back(blocks);
  }
  conv2 = register_module("conv2", PlainConv2d(channels, channels, 3, options.folded));
  if (options.folded) return;
  bn1 = register_module("bn1", FrozenBatchNorm(channels, true, true));
  bn2 = register_module("bn2", FrozenBatchNorm(channels, true, true));
}

void CampplusHeadImpl::fold() {
  first_ = fold_conv(conv1, bn1);
  last_ = fold_conv(conv2, bn2);
  for (auto& layer : layers_) {
    for (CampplusResidual& block : layer) block->fold();
  }
}

torch::Tensor CampplusHeadImpl::forward(const torch::Tensor& x, const StageProbe& probe) {
  torch::Tensor h = conv2d(x.unsqueeze(1), first_, 1, 1).relu_();  // [B, C, F, T]
  for (size_t i = 0; i < layers_.size(); ++i) {
    for (CampplusResidual& block : layers_[i]) h = block(h);
    if (probe) probe("head.layer" + std::to_string(i + 1), h);
  }
  return conv2d(h, last_, 2, 1).relu_().flatten(1, 2);
}

CampplusDenseLayerImpl::CampplusDenseLayerImpl(const CampplusOptions& options, int64_t in,
                                               int64_t dilation)
    : dilation_(dilation), segment_mean_(options.segment_mean) {
  norm1_ = add_nonlinear(*this, "nonlinear1", in, !options.folded);
  linear1 = register_module("linear1", conv(in, options.bottleneck, options.folded));
  if (!options.folded) norm2_ = add_nonlinear(*this, "nonlinear2", options.bottleneck, true);
  ModuleGroup cam;
  local_ = cam->add("linear_local",
                    conv(options.bottleneck, options.growth, false, kLocalKernel, 1, dilation));
  mask1_ = cam->add("linear1", conv(options.bottleneck, options.mask_hidden, true));
  mask2_ = cam->add("linear2", conv(options.mask_hidden, options.growth, true));
  register_module("cam_layer", cam);
}

void CampplusDenseLayerImpl::fold() {
  scale_ = norm1_->scale().unsqueeze(-1);
  shift_ = norm1_->shift().unsqueeze(-1);
  narrow_ = fold_conv(linear1, norm2_);
}

torch::Tensor CampplusDenseLayerImpl::forward(const torch::Tensor& x) {
  const torch::Tensor h =
      torch::conv1d(scaled_relu(x, scale_, shift_), narrow_.weight, narrow_.bias).relu_();
  const torch::Tensor y = local_(h, dilation_ * (kLocalKernel - 1) / 2);  // [B, growth, T]
  // Upstream spreads the means over the frames first; within a segment the mask is the same.
  const int64_t behind =
      segment_mean_ == SegmentMean::kOfAll ? (kSegment - h.size(-1) % kSegment) % kSegment : 0;
  const torch::Tensor segments =
      torch::avg_pool1d(behind > 0 ? torch::constant_pad_nd(h, {0, behind}) : h, kSegment, kSegment,
                        /*padding=*/0, /*ceil_mode=*/true);
  const torch::Tensor context = segments + h.mean(-1, /*keepdim=*/true);
  const torch::Tensor mask = mask2_(mask1_(context).relu_()).sigmoid_();  // [B, growth, T / 100]
  return y * mask.repeat_interleave(kSegment, -1).narrow(-1, 0, y.size(-1));
}

CampplusTransitImpl::CampplusTransitImpl(int64_t channels, const CampplusOptions& options,
                                         bool folded_behind) {
  norm_ = add_nonlinear(*this, "nonlinear", channels, !options.folded);
  linear = register_module("linear", conv(channels, channels / 2, folded_behind));
}

void CampplusTransitImpl::fold() {
  scale_ = norm_->scale().unsqueeze(-1);
  shift_ = norm_->shift().unsqueeze(-1);
}

torch::Tensor CampplusTransitImpl::forward(const torch::Tensor& x) {
  return linear(scaled_relu(x, scale_, shift_));
}

CampplusImpl::CampplusImpl(const CampplusOptions& options) : options_(options) {
  head = register_module("head", CampplusHead(options));
  ModuleGroup xvector, tdnn, dense;
  const int64_t rows = options.bins / 8;  // of frequency, behind the head
  int64_t channels = options.width;
  tdnn_ = tdnn->add("linear", conv(options.head_channels * rows, channels, options.folded,
                                   kTdnnKernel, kTdnnStride));
  if (!options.folded) tdnn_norm_ = add_nonlinear(*tdnn, "nonlinear", channels, true);
  xvector->add("tdnn", tdnn);
  for (size_t i = 0; i < options.layers.size(); ++i) {
    ModuleGroup block;
    std::vector<CampplusDenseLayer> layers;
    for (int64_t j = 0; j < options.layers[i]; ++j) {
      layers.push_back(block->add("tdnnd" + std::to_string(j + 1),
                                  CampplusDenseLayer(options, channels, options.dilations.at(i))));
      channels += options.growth;
    }
    blocks_.push_back(layers);
    xvector->add("block" + std::to_string(i + 1), block);
    const bool last = i + 1 == options.layers.size();
    transits_.push_back(xvector->add("transit" + std::to_string(i + 1),
                                     CampplusTransit(channels, options, last && options.folded)));
    channels /= 2;
  }
  if (!options.folded) out_norm_ = add_nonlinear(*xvector, "out_nonlinear", channels, true);
  dense_ = dense->add("linear", conv(2 * channels, options.embedding));
  dense_norm_ =
      add_nonlinear(*dense, "nonlinear", options.embedding, !options.folded, /*affine=*/false);
  xvector->add("dense", dense);
  register_module("xvector", xvector);
}

void CampplusImpl::fold() {
  torch::NoGradGuard no_grad;
  head->fold();
  tdnn_folded_ = fold_conv(tdnn_, tdnn_norm_);
  for (auto& block : blocks_) {
    for (CampplusDenseLayer& layer : block) layer->fold();
  }
  for (CampplusTransit& transit : transits_) transit->fold();
  if (!options_.folded) {
    out_scale_ = out_norm_->scale().unsqueeze(-1);
    out_shift_ = out_norm_->shift().unsqueeze(-1);
  }
  dense_folded_ = fold_conv(dense_, dense_norm_);
}

torch::Tensor CampplusImpl::dense_block(size_t index, const torch::Tensor& x) {
  // Room for all channels at once: a concatenation per layer would copy the growing input again
  // and again.
  const int64_t layers = std::ssize(blocks_[index]);
  int64_t channels = x.size(1);
  torch::Tensor all =
      torch::empty({x.size(0), channels + layers * options_.growth, x.size(2)}, x.options());
  all.narrow(1, 0, channels).copy_(x);
  for (int64_t j = 0; j < layers; ++j) {
    const torch::Tensor added = blocks_[index][static_cast<size_t>(j)](all.narrow(1, 0, channels));
    if (probe_ && j == 0) probe_("block" + std::to_string(index + 1) + ".tdnnd1", added);
    all.narrow(1, channels, options_.growth).copy_(added);
    channels += options_.growth;
  }
  return all;
}

torch::Tensor CampplusImpl::forward(const torch::Tensor& fbank) {
  if (!tdnn_folded_.weight.defined()) throw std::logic_error("Campplus: fold() was not called");
  if (fbank.dim() != 3 || fbank.size(2) != options_.bins) {
    throw std::logic_error("Campplus: the energies are not [B, T, " +
                           std::to_string(options_.bins) + "]");
  }
  if (fbank.size(1) < kMinFrames) {
    throw DataError("reference audio is too short for a speaker vector: " +
                        std::to_string(fbank.size(1)) + " frames",
                    "", "give at least a second of speech");
  }
  const auto show = [&](const std::string& stage, const torch::Tensor& x) {
    if (probe_) probe_(stage, x);
  };
  torch::Tensor x = head(fbank.transpose(1, 2), probe_);
  show("head", x);
  x = torch::conv1d(x, tdnn_folded_.weight, tdnn_folded_.bias, kTdnnStride, kTdnnKernel / 2)
          .relu_();
  show("tdnn", x);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = transits_[i](dense_block(i, x));
    show("transit" + std::to_string(i + 1), x);
  }
  x = options_.folded ? x.relu() : scaled_relu(x, out_scale_, out_shift_);
  x = torch::cat({x.mean(-1), x.std(-1, /*unbiased=*/true)}, 1);  // [B, 2 C]
  show("stats", x);
  return torch::conv1d(x.unsqueeze(-1), dense_folded_.weight, dense_folded_.bias).squeeze(-1);
}

std::vector<torch::Tensor> CampplusImpl::embed(const std::vector<torch::Tensor>& waves) {
  c10::InferenceMode guard;
  const torch::Device device = tdnn_->weight.device();
  if (!fbank_) {
    fbank_ = std::make_unique<FbankExtractor>(campplus_fbank_options(options_.bins), device);
  }
  std::map<int64_t, std::vector<size_t>> by_length;
  for (size_t i = 0; i < waves.size(); ++i) by_length[waves[i].size(0)].push_back(i);
  std::vector<torch::Tensor> vectors(waves.size());
  for (const auto& [length, rows] : by_length) {
    std::vector<torch::Tensor> batch;
    for (const size_t row : rows) batch.push_back(waves[row].to(device, torch::kFloat32));
    const torch::Tensor together = forward((*fbank_)(torch::stack(batch)));
    for (size_t i = 0; i < rows.size(); ++i) {
      vectors[rows[i]] = together[static_cast<int64_t>(i)].clone();
    }
  }
  return vectors;
}

FbankOptions campplus_fbank_options(int64_t bins) {
  FbankOptions options;
  options.bins = bins;
  options.subtract_mean = true;
  return options;
}

CampplusOptions read_campplus_options(const TensorFile& file, const std::string& prefix) {
  const auto size = [&](const std::string& name, size_t dimensions, size_t axis) {
    return shape_of(file, prefix + name, dimensions)[axis];
  };
  CampplusOptions options;
  options.head_channels = size("head.conv1.weight", 4, 0);
  options.folded = file.find(prefix + "head.conv1.bias") != nullptr;
  for (size_t i = 0; i < options.head_blocks.size(); ++i) {
    options.head_blocks[i] =
        count_tensors(file, prefix + "head.layer" + std::to_string(i + 1) + ".", ".conv1.weight");
  }
  options.width = size("xvector.tdnn.linear.weight", 3, 0);
  const int64_t head_out = size("xvector.tdnn.linear.weight", 3, 1);
  options.layers.clear();
  while (true) {
    const std::string block = "xvector.block" + std::to_string(options.layers.size() + 1);
    const int64_t layers = count_tensors(file, prefix + block + ".tdnnd", ".linear1.weight", 1);
    if (layers == 0) break;
    options.layers.push_back(layers);
  }
  if (options.head_channels < 1 || head_out % options.head_channels != 0 ||
      options.layers.size() != options.dilations.size()) {
    throw DataError("the speaker network is no CAM++: a head of " +
                        std::to_string(options.head_channels) + " channels in front of " +
                        std::to_string(head_out) + ", " + std::to_string(options.layers.size()) +
                        " dense blocks",
                    file.path().string(), "is this the file of another model?");
  }
  options.bins = 8 * (head_out / options.head_channels);
  const std::string cam = "xvector.block1.tdnnd1.cam_layer.";
  options.growth = size(cam + "linear_local.weight", 3, 0);
  options.bottleneck = size(cam + "linear_local.weight", 3, 1);
  options.mask_hidden = size(cam + "linear1.weight", 3, 0);
  options.embedding = size("xvector.dense.linear.weight", 3, 0);
  return options;
}

Campplus load_campplus(const std::shared_ptr<const TensorFile>& file, const std::string& prefix,
                       torch::Device device, SegmentMean segment_mean) {
  CampplusOptions options = read_campplus_options(*file, prefix);
  options.segment_mean = segment_mean;
  Campplus network(options);
  load_strict(*network, file, {.device = device, .prefix = prefix});
  network->eval();
  network->fold();
  return network;
}

}  // namespace ttsft
