#include "models/indextts2/conditioner.h"

#include <algorithm>
#include <cmath>

#include "ttsft/core/error.h"

namespace ttsft::indextts2 {
namespace {

// Sub-sampled frames of all rows that pass the wide linear at once: 512 of them are half a gigabyte
// at release size.
constexpr int64_t kFramesAtOnce = 512;

void tell(const StageProbe& probe, std::string_view stage, const torch::Tensor& value) {
  if (probe) probe(stage, value);
}

// Sub-sampled frame i sits on input frame 2 + 2i and needs the two before it. [B, T'], bool
torch::Tensor reaches(const torch::Tensor& lengths, int64_t frames) {
  if (!lengths.defined()) return {};
  const torch::Tensor at = torch::arange(2, 2 + 2 * frames, 2, lengths.options());
  return at.unsqueeze(0) < lengths.unsqueeze(1);
}

// `frames` of them after the sub-sampling, padding included.
ConformerMask mask_of(const ConditionLengths& lengths, int64_t frames) {
  ConformerMask mask;
  mask.rows = reaches(lengths.frames, frames);
  mask.keys = lengths.valid.defined() ? reaches(lengths.valid, frames) : mask.rows;
  return mask;
}

ConformerOptions conformer_options(const ConditionerConfig& config) {
  ConformerOptions options;
  options.dim = config.output_size;
  options.heads = config.attention_heads;
  options.ffn = config.linear_units;
  options.rel_shift = false;
  options.conv_kernel = config.conv_kernel;
  return options;
}

}  // namespace

SubsamplingImpl::SubsamplingImpl(const ConditionerConfig& config) {
  const int64_t channels = config.output_size;
  torch::nn::ModuleList conv, out;
  conv_ = torch::nn::Conv2d(torch::nn::Conv2dOptions(1, channels, 3).stride(2));
  out_ = Linear(config.flattened, channels, true);
  conv->push_back(conv_);
  out->push_back(out_);
  register_module("conv", conv);
  register_module("out", out);
  auto pos_enc = std::make_shared<torch::nn::Module>();
  pe_ = pos_enc->register_buffer("pe", torch::empty({1, config.positions, channels}));
  register_module("pos_enc", pos_enc);
}

torch::Tensor SubsamplingImpl::forward(const torch::Tensor& features) {
  const int64_t batch = features.size(0), frames = (features.size(1) - 1) / 2;
  const int64_t step = std::max<int64_t>(1, kFramesAtOnce / batch);
  std::vector<torch::Tensor> parts;
  for (int64_t first = 0; first < frames; first += step) {
    const int64_t count = std::min(step, frames - first);
    torch::Tensor x = features.narrow(1, 2 * first, 2 * count + 1).unsqueeze(1);
    x = torch::relu(conv_(x));                            // [B, C, n, F']
    parts.push_back(out_(x.transpose(1, 2).flatten(2)));  // channel-major, [B, n, C]
  }
  return torch::cat(parts, 1) * std::sqrt(static_cast<double>(pe_.size(2)));
}

torch::Tensor SubsamplingImpl::positions(int64_t frames) const {
  if (frames > pe_.size(1)) {
    throw DataError("a recording is longer than the model's table of positions",
                    std::to_string(2 * frames) + " frames", "cut it");
  }
  return pe_.narrow(1, 0, frames);
}

ConformerEncoderImpl::ConformerEncoderImpl(const ConditionerConfig& config) {
  embed = register_module("embed", Subsampling(config));
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < config.num_blocks; ++i) {
    encoders_.emplace_back(conformer_options(config));
    list->push_back(encoders_.back());
  }
  register_module("encoders", list);
  after_norm = register_module("after_norm", LayerNorm(config.output_size, 1e-5));
}

torch::Tensor ConformerEncoderImpl::forward(const torch::Tensor& features,
                                            const ConformerMask& mask, const StageProbe& probe) {
  torch::Tensor x = embed(features);
  tell(probe, "embed", x);
  if (mask.keys.defined()) tell(probe, "mask", mask.keys);
  const torch::Tensor positions = embed->positions(x.size(1));
  for (ConformerLayer& layer : encoders_) x = layer(x, positions, mask);
  x = after_norm(x);
  tell(probe, "conformer", x);
  return x;
}

PerceiverAttentionImpl::PerceiverAttentionImpl(const ConditionerConfig& config)
    : heads_(config.attention_heads) {
  const int64_t dim = config.latent_dim, inner = heads_ * config.head_dim;
  to_q = register_module("to_q", Linear(dim, inner));
  to_kv = register_module("to_kv", Linear(dim, 2 * inner));
  to_out = register_module("to_out", Linear(inner, dim));
}

torch::Tensor PerceiverAttentionImpl::forward(const torch::Tensor& latents,
                                              const torch::Tensor& context,
                                              const torch::Tensor& mask) {
  const auto heads = [&](const torch::Tensor& x) {
    return x.unflatten(-1, {heads_, -1}).transpose(1, 2);  // [B, H, T, d]
  };
  const auto kv = to_kv(context).chunk(2, -1);
  const torch::Tensor y = at::scaled_dot_product_attention(
      heads(to_q(latents)), heads(kv[0]), heads(kv[1]),
      mask.defined() ? std::optional<torch::Tensor>(mask) : std::nullopt);
  return to_out(y.transpose(1, 2).flatten(2));
}

PerceiverFeedForwardImpl::PerceiverFeedForwardImpl(const ConditionerConfig& config) {
  in_ = register_module("0", Linear(config.latent_dim, 2 * config.inner, true));
  out_ = register_module("2", Linear(config.inner, config.latent_dim, true));
}

torch::Tensor PerceiverFeedForwardImpl::forward(const torch::Tensor& x) {
  const auto halves = in_(x).chunk(2, -1);
  return out_(halves[0] * torch::gelu(halves[1]));
}

PerceiverImpl::PerceiverImpl(const ConditionerConfig& config) {
  const int64_t dim = config.latent_dim;
  latents = register_parameter("latents", torch::empty({config.latents, dim}));
  proj_context = register_module("proj_context", Linear(config.output_size, dim, true));
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < config.depth; ++i) {
    layers_.push_back({PerceiverAttention(config), PerceiverFeedForward(config)});
    torch::nn::ModuleList pair;
    pair->push_back(layers_.back().attention);
    pair->push_back(layers_.back().feed_forward);
    list->push_back(pair);
  }
  register_module("layers", list);
  auto norm = std::make_shared<torch::nn::Module>();
  gamma_ = norm->register_parameter("gamma", torch::empty({dim}));
  register_module("norm", norm);
}

torch::Tensor PerceiverImpl::forward(const torch::Tensor& x, const torch::Tensor& keys) {
  const int64_t batch = x.size(0);
  const torch::Tensor context = proj_context(x);
  torch::Tensor y = latents.expand({batch, -1, -1});
  torch::Tensor mask;
  if (keys.defined()) {
    const torch::Tensor always = torch::ones({batch, latents.size(0)}, keys.options());
    mask = torch::cat({always, keys}, 1).view({batch, 1, 1, -1});
  }
  for (Layer& layer : layers_) {
    y = y + layer.attention(y, torch::cat({y, context}, 1), mask);
    y = y + layer.feed_forward(y);
  }
  const torch::Tensor length = y.norm(2, -1, /*keepdim=*/true).clamp_min(1e-12);
  return y / length * std::sqrt(static_cast<double>(y.size(2))) * gamma_;
}

ConditionerImpl::ConditionerImpl(const GptConfig& config) {
  conditioning_encoder = register_module("conditioning_encoder", ConformerEncoder(config.speaker));
  perceiver_encoder = register_module("perceiver_encoder", Perceiver(config.speaker));
  emo_conditioning_encoder =
      register_module("emo_conditioning_encoder", ConformerEncoder(config.emotion));
  emo_perceiver_encoder = register_module("emo_perceiver_encoder", Perceiver(config.emotion));
  emovec_layer =
      register_module("emovec_layer", Linear(config.emotion.latent_dim, config.model_dim, true));
  emo_layer = register_module("emo_layer", Linear(config.model_dim, config.model_dim, true));
}

torch::Tensor ConditionerImpl::condition(const torch::Tensor& features,
                                         const ConditionLengths& lengths, const StageProbe& probe) {
  const ConformerMask mask = mask_of(lengths, (features.size(1) - 1) / 2);
  const torch::Tensor y =
      perceiver_encoder(conditioning_encoder->forward(features, mask, probe), mask.keys);
  tell(probe, "perceiver", y);
  return y;
}

torch::Tensor ConditionerImpl::emotion(const torch::Tensor& features,
                                       const ConditionLengths& lengths, const StageProbe& probe) {
  const ConformerMask mask = mask_of(lengths, (features.size(1) - 1) / 2);
  const torch::Tensor y =
      emo_perceiver_encoder(emo_conditioning_encoder->forward(features, mask, probe), mask.keys);
  tell(probe, "perceiver", y);
  return emo_layer(emovec_layer(y.select(1, 0)));
}

}  // namespace ttsft::indextts2
