#include "models/chatterbox/upsample_encoder.h"

#include <cmath>

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"

namespace ttsft::chatterbox {

namespace {

// true inside each row; undefined when all rows are full.
torch::Tensor rows_mask(const RowLengths& lengths, int64_t time, int64_t factor,
                        torch::Device device) {
  bool full = true;
  for (const int64_t length : lengths) full = full && length * factor >= time;
  if (full) return {};
  const auto options = torch::TensorOptions().dtype(torch::kInt64);
  const torch::Tensor ends = torch::tensor(lengths, options).mul_(factor).unsqueeze(1);
  return (torch::arange(time, options).unsqueeze(0) < ends).to(device);  // [B, T]
}

}  // namespace

UpsampleEncoderOptions upsample_encoder_options(const TensorFile& file, const std::string& prefix) {
  const auto size = [&](const char* name, size_t axis, size_t dimensions) {
    return shape_of(file, prefix + name, dimensions)[axis];
  };
  UpsampleEncoderOptions o;
  o.dim = size("embed.out.0.weight", 0, 2);
  o.input = size("embed.out.0.weight", 1, 2);
  o.heads = size("encoders.0.self_attn.pos_bias_u", 0, 2);
  o.ffn = size("encoders.0.feed_forward.w_1.weight", 0, 2);
  o.blocks = count_tensors(file, prefix + "encoders.", ".norm_ff.weight");
  o.up_blocks = count_tensors(file, prefix + "up_encoders.", ".norm_ff.weight");
  o.lookahead = pre_lookahead_options(file, prefix + "pre_lookahead_layer.");
  o.factor = (size("up_layer.conv.weight", 2, 3) - 1) / 2;
  if (o.heads <= 0 || o.dim % o.heads != 0) {
    throw DataError(prefix + "encoders: a width of " + std::to_string(o.dim) + " has no " +
                        std::to_string(o.heads) + " heads",
                    file.path().string(), "is this the file of another model?");
  }
  return o;
}

ScaledEmbedImpl::ScaledEmbedImpl(int64_t in, int64_t dim, double eps)
    : scale_(std::sqrt(static_cast<double>(dim))) {
  auto out = register_module("out", ModuleGroup());
  linear_ = out->add(0, Linear(in, dim, true));
  norm_ = out->add(1, LayerNorm(dim, eps));
}

torch::Tensor ScaledEmbedImpl::forward(const torch::Tensor& x) {
  return norm_(linear_(x)) * scale_;
}

UpsampleEncoderImpl::UpsampleEncoderImpl(const UpsampleEncoderOptions& options)
    : options_(options) {
  const UpsampleEncoderOptions& o = options_;
  embed = register_module("embed", ScaledEmbed(o.input, o.dim, o.embed_norm_eps));
  pre_lookahead_layer = register_module("pre_lookahead_layer", PreLookahead(o.lookahead));
  ConformerOptions layer{o.dim, o.heads, o.ffn, o.layer_norm_eps};
  auto encoders = register_module("encoders", ModuleGroup());
  for (int64_t i = 0; i < o.blocks; ++i) {
    encoders_.push_back(encoders->add(i, ConformerLayer(layer)));
  }
  auto up_layer = register_module("up_layer", ModuleGroup());
  up_conv_ = up_layer->add("conv", Conv1d(ConvOptions{o.dim, o.dim, 2 * o.factor + 1}));
  up_embed = register_module("up_embed", ScaledEmbed(o.dim, o.dim, o.embed_norm_eps));
  auto up_encoders = register_module("up_encoders", ModuleGroup());
  for (int64_t i = 0; i < o.up_blocks; ++i) {
    up_encoders_.push_back(up_encoders->add(i, ConformerLayer(layer)));
  }
  after_norm = register_module("after_norm", LayerNorm(o.dim, o.embed_norm_eps));
}

torch::Tensor UpsampleEncoderImpl::forward(const torch::Tensor& input, const RowLengths& lengths,
                                           const StageProbe& probe) {
  const auto tap = [&](const std::string& stage, const torch::Tensor& result) {
    if (probe) probe(stage, result);
  };
  ConformerMask mask;
  mask.rows = rows_mask(lengths, input.size(1), 1, input.device());
  torch::Tensor x = embed(input);
  tap("embed", x);
  // The one place where a frame hears what lies behind a row's end.
  if (mask.rows.defined()) x = x.masked_fill(~mask.rows.unsqueeze(-1), 0);
  x = pre_lookahead_layer(x);
  tap("pre_lookahead", x);
  torch::Tensor positions = relative_positions(x.size(1), options_.dim, x.options());
  for (size_t i = 0; i < encoders_.size(); ++i) {
    x = encoders_[i](x, positions, mask);
    tap("block" + std::to_string(i), x);
  }
  tap("last_block", x);

  x = x.repeat_interleave(options_.factor, 1).transpose(1, 2);  // [B, D, factor T]
  x = up_conv_(torch::constant_pad_nd(x, {2 * options_.factor, 0}));
  tap("up_layer", x);
  x = up_embed(x.transpose(1, 2));
  mask.rows = rows_mask(lengths, x.size(1), options_.factor, x.device());
  positions = relative_positions(x.size(1), options_.dim, x.options());
  for (ConformerLayer& layer : up_encoders_) x = layer(x, positions, mask);
  x = after_norm(x);
  tap("out", x);
  return x;
}

}  // namespace ttsft::chatterbox
