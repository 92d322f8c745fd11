#include "models/indextts2/dit.h"

#include "ttsft/io/tensor_shapes.h"

namespace ttsft::indextts2 {
namespace {

constexpr double kNormEpsilon = 1e-5, kFinalEpsilon = 1e-6;
constexpr double kTimeScale = 1000;

// A 1x1 convolution over channels in the last place.
torch::Tensor pointwise(const Conv1d& conv, const torch::Tensor& x) {
  return torch::linear(x, conv->weight.squeeze(-1), conv->bias);
}

}  // namespace

DitOptions dit_options(const TensorFile& file, const std::string& prefix,
                       const S2MelConfig& config) {
  DitOptions options{config};
  options.ffn = shape_of(file, prefix + "transformer.layers.0.feed_forward.w1.weight", 2)[0];
  options.frequencies = shape_of(file, prefix + "t_embedder.freqs", 1)[0];
  return options;
}

AdaptiveNormImpl::AdaptiveNormImpl(int64_t dim) {
  project_layer = register_module("project_layer", Linear(dim, 2 * dim, true));
  norm = register_module("norm", RmsNorm(dim, kNormEpsilon));
}

torch::Tensor AdaptiveNormImpl::forward(const torch::Tensor& x, const torch::Tensor& modulation) {
  const auto halves = modulation.chunk(2, -1);
  return torch::addcmul(halves[1], halves[0], norm(x));
}

DitAttentionImpl::DitAttentionImpl(int64_t dim, int64_t heads) : heads_(heads) {
  wqkv = register_module("wqkv", Linear(dim, 3 * dim));
  wo = register_module("wo", Linear(dim, dim));
}

torch::Tensor DitAttentionImpl::forward(const torch::Tensor& x, const Rope& rope,
                                        const torch::Tensor& keys) {
  const auto parts =
      wqkv(x).unflatten(-1, {3, heads_, -1}).permute({2, 0, 3, 1, 4}).unbind(0);  // [N, H, T, d]
  const torch::Tensor y = at::scaled_dot_product_attention(
      apply_rope(parts[0], rope), apply_rope(parts[1], rope), parts[2],
      keys.defined() ? std::optional(keys) : std::nullopt);
  return wo(y.transpose(1, 2).flatten(2));
}

DitFeedForwardImpl::DitFeedForwardImpl(int64_t dim, int64_t inner) {
  w1 = register_module("w1", Linear(dim, inner));
  w2 = register_module("w2", Linear(inner, dim));
  w3 = register_module("w3", Linear(dim, inner));
}

DitLayerImpl::DitLayerImpl(const DitOptions& options) {
  const int64_t dim = options.s2mel.hidden_dim;
  attention = register_module("attention", DitAttention(dim, options.s2mel.num_heads));
  feed_forward = register_module("feed_forward", DitFeedForward(dim, options.ffn));
  ffn_norm = register_module("ffn_norm", AdaptiveNorm(dim));
  attention_norm = register_module("attention_norm", AdaptiveNorm(dim));
  skip_in_linear = register_module("skip_in_linear", Linear(2 * dim, dim, true));
}

torch::Tensor DitLayerImpl::forward(torch::Tensor x, const torch::Tensor& skipped, const Rope& rope,
                                    const torch::Tensor& keys, const torch::Tensor& attention_time,
                                    const torch::Tensor& ffn_time) {
  if (skipped.defined()) x = skip_in_linear(torch::cat({x, skipped}, -1));
  x = x + attention->forward(attention_norm->forward(x, attention_time), rope, keys);
  return x + feed_forward(ffn_norm->forward(x, ffn_time));
}

TimeEmbeddingImpl::TimeEmbeddingImpl(int64_t frequencies, int64_t dim) {
  freqs_ = register_buffer("freqs", torch::empty({frequencies}));
  auto mlp = register_module("mlp", ModuleGroup());
  first_ = mlp->add(0, Linear(2 * frequencies, dim, true));
  second_ = mlp->add(2, Linear(dim, dim, true));
}

torch::Tensor TimeEmbeddingImpl::forward(const torch::Tensor& times) {
  const torch::Tensor angles = kTimeScale * times.unsqueeze(1) * freqs_;  // [S, F]
  return second_(torch::silu(first_(torch::cat({angles.cos(), angles.sin()}, -1))));
}

DitWaveNetImpl::DitWaveNetImpl(const S2MelConfig& config)
    : width_(config.wavenet_dim), dilation_rate_(config.wavenet_dilation_rate) {
  auto in_layers = register_module("in_layers", ModuleGroup());
  auto res_skip = register_module("res_skip_layers", ModuleGroup());
  const auto conv = [](ModuleGroup group, const std::string& name, const ConvOptions& options) {
    return group->add(name, ModuleGroup())
        ->add("conv", ModuleGroup())
        ->add("conv", Conv1d(options));
  };
  int64_t dilation = 1;
  for (int64_t i = 0; i < config.wavenet_layers; ++i, dilation *= dilation_rate_) {
    const bool last = i + 1 == config.wavenet_layers;
    ConvOptions wide{width_, 2 * width_, config.wavenet_kernel};
    wide.dilation = dilation;
    in_.push_back(conv(in_layers, std::to_string(i), wide));
    res_skip_.push_back(
        conv(res_skip, std::to_string(i), ConvOptions{width_, last ? width_ : 2 * width_}));
  }
  auto outer = register_module("cond_layer", ModuleGroup());
  cond_ = outer->add("conv", ModuleGroup())
              ->add("conv", Conv1d(ConvOptions{width_, 2 * width_ * config.wavenet_layers}));
}

torch::Tensor DitWaveNetImpl::condition(const torch::Tensor& time) {
  return pointwise(cond_, time);
}

torch::Tensor DitWaveNetImpl::forward(torch::Tensor x, const torch::Tensor& condition,
                                      const Rows& rows) {
  torch::Tensor sum;
  for (size_t i = 0; i < in_.size(); ++i) {
    const int64_t total = in_[i]->options().effective_kernel() - 1, right = total / 2;
    torch::Tensor a = in_[i](rows.pad_reflect(x, total - right, right));
    a = a + condition.narrow(0, static_cast<int64_t>(i) * 2 * width_, 2 * width_).unsqueeze(1);
    const auto gates = a.chunk(2, 1);
    const torch::Tensor r = res_skip_[i](torch::tanh(gates[0]) * torch::sigmoid(gates[1]));
    const bool last = i + 1 == in_.size();
    const torch::Tensor skip = last ? r : r.narrow(1, width_, width_);
    sum = sum.defined() ? sum + skip : skip;
    if (!last) x = x + r.narrow(1, 0, width_);
  }
  return sum;
}

DitFinalLayerImpl::DitFinalLayerImpl(int64_t dim, int64_t time_dim) {
  linear = register_module("linear", Linear(dim, dim, true));
  modulation_ =
      register_module("adaLN_modulation", ModuleGroup())->add(1, Linear(time_dim, 2 * dim, true));
}

torch::Tensor DitFinalLayerImpl::forward(const torch::Tensor& x, const torch::Tensor& modulation) {
  const auto halves = modulation.chunk(2, -1);  // shift, scale
  const torch::Tensor y =
      torch::layer_norm(x, {x.size(-1)}, {}, {}, kFinalEpsilon) * (1 + halves[1]) + halves[0];
  return linear(y);
}

DitImpl::DitImpl(const DitOptions& options) : options_(options) {
  const S2MelConfig& c = options.s2mel;
  const int64_t dim = c.hidden_dim, width = c.wavenet_dim, mels = c.in_channels;
  auto transformer = register_module("transformer", ModuleGroup());
  auto layers = transformer->add("layers", ModuleGroup());
  for (int64_t i = 0; i < c.depth; ++i) layers_.push_back(layers->add(i, DitLayer(options)));
  norm_ = transformer->add("norm", AdaptiveNorm(dim));
  cond_projection = register_module("cond_projection", Linear(c.content_dim, dim, true));
  t_embedder = register_module("t_embedder", TimeEmbedding(options.frequencies, dim));
  t_embedder2 = register_module("t_embedder2", TimeEmbedding(options.frequencies, width));
  conv1 = register_module("conv1", Linear(dim, width, true));
  conv2 = register_module("conv2", Conv1d(ConvOptions{width, mels}));
  wavenet = register_module("wavenet", DitWaveNet(c));
  final_layer = register_module("final_layer", DitFinalLayer(width, dim));
  res_projection = register_module("res_projection", Linear(dim, width, true));
  if (c.long_skip_connection)
    skip_linear = register_module("skip_linear", Linear(dim + mels, dim, true));
  cond_x_merge_linear =
      register_module("cond_x_merge_linear", Linear(2 * mels + dim + c.style_dim, dim, true));
}

DitImpl::Schedule DitImpl::schedule(const torch::Tensor& times) {
  const torch::Tensor time = t_embedder(times);  // [S, D]
  Schedule schedule;
  for (DitLayer& layer : layers_) {
    schedule.attention.push_back(layer->attention_norm->modulation(time));
    schedule.ffn.push_back(layer->ffn_norm->modulation(time));
  }
  schedule.norm = norm_->modulation(time);
  schedule.wavenet = wavenet->condition(t_embedder2(times));
  schedule.final = final_layer->modulation(time);
  return schedule;
}

torch::Tensor DitImpl::constant(const torch::Tensor& prompt, const torch::Tensor& condition,
                                const torch::Tensor& style, bool guided) {
  // The merging linear sees x | prompt | condition | style; all but x stay as they are.
  const int64_t mels = options_.s2mel.in_channels, batch = condition.size(0);
  const int64_t frames = condition.size(1);
  const torch::Tensor& weight = cond_x_merge_linear->weight;
  const torch::Tensor rest = weight.narrow(1, mels, weight.size(1) - mels);
  const torch::Tensor with = torch::cat({prompt.transpose(1, 2), cond_projection(condition),
                                         style.unsqueeze(1).expand({-1, frames, -1})},
                                        2);
  const torch::Tensor conditioned = torch::linear(with, rest, cond_x_merge_linear->bias);
  if (!guided) return conditioned;
  const torch::Tensor without =
      torch::cat({torch::zeros({mels}, prompt.options()), cond_projection->bias,
                  torch::zeros({style.size(1)}, style.options())});
  const torch::Tensor free = torch::linear(without, rest, cond_x_merge_linear->bias);  // [D]
  return torch::cat({conditioned, free.expand({batch, frames, -1})});
}

Rope DitImpl::rope(int64_t frames, torch::Device device) const {
  const RopeOptions options{options_.s2mel.hidden_dim / options_.s2mel.num_heads, 10000,
                            RopeLayout::kInterleaved, std::nullopt};
  const auto positions = torch::TensorOptions().device(device).dtype(torch::kInt64);
  return make_rope(torch::arange(frames, positions), options, torch::kFloat32);
}

torch::Tensor DitImpl::forward(const torch::Tensor& x, const torch::Tensor& constant,
                               const Schedule& schedule, size_t step, const Rope& rope,
                               const Rows& rows, const StageProbe& probe) {
  const auto tell = [&](const char* stage, const torch::Tensor& value) {
    if (probe) probe(stage, value);
  };
  const auto at = static_cast<int64_t>(step);
  const int64_t mels = options_.s2mel.in_channels, depth = std::ssize(layers_);
  const int64_t copies = constant.size(0) / x.size(0);  // with the condition, and without
  const torch::Tensor frames = x.transpose(1, 2);       // [B, T, mels]
  const torch::Tensor merged =
      torch::linear(frames, cond_x_merge_linear->weight.narrow(1, 0, mels));
  torch::Tensor h = (constant.unflatten(0, {copies, -1}) + merged).flatten(0, 1);
  torch::Tensor keys = rows.real(x.size(2));
  if (keys.defined()) keys = keys.unsqueeze(1).unsqueeze(1);  // [N, 1, 1, T]
  std::vector<torch::Tensor> skipped;                         // last in, first out
  for (int64_t i = 0; i < depth; ++i) {
    const auto n = static_cast<size_t>(i);
    torch::Tensor earlier;
    if (options_.s2mel.uvit_skip_connection && i > depth / 2) {
      earlier = skipped.back();
      skipped.pop_back();
    }
    h = layers_[n]->forward(h, earlier, rope, keys, schedule.attention[n][at], schedule.ffn[n][at]);
    if (options_.s2mel.uvit_skip_connection && i < depth / 2) skipped.push_back(h);
    if (i == 0) tell("l0", h);
  }
  h = norm_->forward(h, schedule.norm[at]);
  tell("transformer", h);
  if (skip_linear) h = skip_linear(torch::cat({h, frames.repeat({copies, 1, 1})}, -1));
  const torch::Tensor y = wavenet->forward(conv1(h).transpose(1, 2), schedule.wavenet[at], rows);
  tell("wavenet", y);
  const torch::Tensor z =
      final_layer->forward(y.transpose(1, 2) + res_projection(h), schedule.final[at]);
  const torch::Tensor velocity = pointwise(conv2, z).transpose(1, 2);  // [N, mels, T]
  tell("out", velocity);
  return velocity;
}

}  // namespace ttsft::indextts2
