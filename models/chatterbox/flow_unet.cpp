// The estimator of S3Gen's flow. Upstream: chatterbox/models/s3gen/decoder.py, ConditionalDecoder.
#include "models/chatterbox/flow.h"

namespace ttsft::chatterbox {

namespace {

constexpr double kNormEps = 1e-5;
constexpr int64_t kKernel = 3;

// Zeros on the left only; no copy of x.
torch::Tensor causal(Conv1d& conv, const torch::Tensor& x) {
  return conv(x, conv->options().kernel - 1).narrow(-1, 0, x.size(-1));
}

}  // namespace

CausalBlockImpl::CausalBlockImpl(int64_t in, int64_t out) {
  auto block = register_module("block", ModuleGroup());
  conv_ = block->add(0, Conv1d(ConvOptions{in, out, kKernel}));
  norm_ = block->add(2, LayerNorm(out, kNormEps));
}

torch::Tensor CausalBlockImpl::forward(const torch::Tensor& x) {
  return torch::mish(norm_(causal(conv_, x).transpose(1, 2))).transpose(1, 2);
}

CausalResnetImpl::CausalResnetImpl(int64_t in, int64_t out, int64_t time) {
  auto mlp = register_module("mlp", ModuleGroup());
  mlp_ = mlp->add(1, Linear(time, out, true));
  block1 = register_module("block1", CausalBlock(in, out));
  block2 = register_module("block2", CausalBlock(out, out));
  res_conv = register_module("res_conv", Conv1d(ConvOptions{in, out}));
}

torch::Tensor CausalResnetImpl::time_shift(const torch::Tensor& time) {
  return mlp_(torch::mish(time));
}

torch::Tensor CausalResnetImpl::forward(const torch::Tensor& x, const torch::Tensor& shift) {
  return block2(block1(x) + shift.unsqueeze(-1)) + res_conv(x);
}

UNetTransformerImpl::UNetTransformerImpl(const UNetOptions& options) : heads_(options.heads) {
  const int64_t width = options.channels, inner = options.heads * options.head_dim;
  norm1 = register_module("norm1", LayerNorm(width, kNormEps));
  auto attention = register_module("attn1", ModuleGroup());
  to_q_ = attention->add("to_q", Linear(width, inner));
  to_k_ = attention->add("to_k", Linear(width, inner));
  to_v_ = attention->add("to_v", Linear(width, inner));
  to_out_ = attention->add("to_out", ModuleGroup())->add(0, Linear(inner, width, true));
  norm3 = register_module("norm3", LayerNorm(width, kNormEps));
  auto net = register_module("ff", ModuleGroup())->add("net", ModuleGroup());
  up_ = net->add(0, ModuleGroup())->add("proj", Linear(width, options.ffn, true));
  down_ = net->add(2, Linear(options.ffn, width, true));
}

torch::Tensor UNetTransformerImpl::forward(torch::Tensor x, const torch::Tensor& keys) {
  const auto heads = [&](const torch::Tensor& y) {
    return y.unflatten(-1, {heads_, -1}).transpose(1, 2);  // [B, H, T, head_dim]
  };
  const torch::Tensor h = norm1(x);
  const std::optional<torch::Tensor> mask = keys.defined() ? std::optional(keys) : std::nullopt;
  const torch::Tensor y =
      torch::scaled_dot_product_attention(heads(to_q_(h)), heads(to_k_(h)), heads(to_v_(h)), mask);
  x = x + to_out_(y.transpose(1, 2).flatten(2));
  return x + down_(torch::gelu(up_(norm3(x))));
}

UNetStageImpl::UNetStageImpl(const UNetOptions& options, int64_t in, int64_t depth,
                             bool with_conv) {
  resnet_ = register_module("0", CausalResnet(in, options.channels, options.time));
  auto blocks = register_module("1", ModuleGroup());
  for (int64_t i = 0; i < depth; ++i) blocks_.push_back(blocks->add(i, UNetTransformer(options)));
  if (!with_conv) return;
  conv_ = register_module("2", Conv1d(ConvOptions{options.channels, options.channels, kKernel}));
}

torch::Tensor UNetStageImpl::transform(torch::Tensor x, const torch::Tensor& shift,
                                       const torch::Tensor& keys, const StageProbe& probe,
                                       const std::string& name) {
  x = resnet_(x, shift);
  if (probe) probe("dec." + name + "_resnet", x);
  x = x.transpose(1, 2);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i](x, keys);
    if (probe) probe("dec." + name + "_tfm" + std::to_string(i), x);
  }
  if (probe) probe("dec." + name + "_last", x);
  return x.transpose(1, 2);
}

torch::Tensor UNetStageImpl::convolve(const torch::Tensor& x) {
  return causal(conv_, x);
}

UNetImpl::UNetImpl(const UNetOptions& options) : options_(options) {
  const UNetOptions& o = options_;
  auto time = register_module("time_mlp", ModuleGroup());
  time_1_ = time->add("linear_1", Linear(o.input, o.time, true));
  time_2_ = time->add("linear_2", Linear(o.time, o.time, true));
  auto down = register_module("down_blocks", ModuleGroup());
  auto mid = register_module("mid_blocks", ModuleGroup());
  auto up = register_module("up_blocks", ModuleGroup());
  stages_.push_back(down->add(0, UNetStage(o, o.input, o.down_depth, true)));
  for (int64_t i = 0; i < o.mid_stages; ++i) {
    stages_.push_back(mid->add(i, UNetStage(o, o.channels, o.mid_depth, false)));
  }
  stages_.push_back(up->add(0, UNetStage(o, 2 * o.channels, o.up_depth, true)));
  final_block = register_module("final_block", CausalBlock(o.channels, o.channels));
  final_proj = register_module("final_proj", Conv1d(ConvOptions{o.channels, o.mels}));
}

std::vector<torch::Tensor> UNetImpl::embed_times(const torch::Tensor& times,
                                                 const StageProbe& probe) {
  const torch::Tensor embedded = sinusoidal_time_embedding(times, options_.input / 2);
  const torch::Tensor time = time_2_(torch::silu(time_1_(embedded)));  // [N, time]
  if (probe) probe("dec.time_mlp", time.narrow(0, 0, 1));
  std::vector<torch::Tensor> shifts;
  for (UNetStage& stage : stages_) shifts.push_back(stage->resnet()->time_shift(time));
  return shifts;
}

torch::Tensor UNetImpl::velocity(const torch::Tensor& x, const std::vector<torch::Tensor>& time,
                                 const FlowConditions& given, const StageProbe& probe) {
  const torch::Tensor speaker = given.speaker.unsqueeze(-1).expand({-1, -1, x.size(2)});
  torch::Tensor keys;  // [B, 1, 1, T]
  if (given.real.defined()) keys = given.real.unsqueeze(1).unsqueeze(1);
  torch::Tensor h = torch::cat({x, given.mu, speaker, given.prompt}, 1);
  h = stages_.front()->transform(h, time.front(), keys, probe, "down");
  const torch::Tensor skip = h;
  h = stages_.front()->convolve(h);
  for (size_t i = 1; i + 1 < stages_.size(); ++i) {
    h = stages_[i]->transform(h, time[i], keys, probe, "mid");
  }
  h = torch::cat({h, skip}, 1);
  h = stages_.back()->transform(h, time.back(), keys, probe, "up");
  h = final_block(stages_.back()->convolve(h));
  if (probe) probe("dec.final_block", h);
  return final_proj(h);
}

}  // namespace ttsft::chatterbox
