#include "models/cosyvoice3/dit.h"

#include "ttsft/core/error.h"
#include "ttsft/io/tensor_shapes.h"

namespace ttsft::cosyvoice3 {
namespace {

constexpr double kNormEpsilon = 1e-6;

Linear linear(int64_t in, int64_t out, LinearRole role = LinearRole::kOther) {
  return Linear(LinearOptions{in, out, true, LinearLayout::kOutIn, role});
}

// LayerNorm without weights, scaled and shifted by rows [B or 1, D].
torch::Tensor modulated(const torch::Tensor& x, const torch::Tensor& scale,
                        const torch::Tensor& shift) {
  const torch::Tensor normed = torch::layer_norm(x, {x.size(-1)}, {}, {}, kNormEpsilon);
  return normed * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1);
}

// What a frame hears: keys that are real, of its own chunk or one before.
torch::Tensor visible_frames(const FlowConditions& given, int64_t frames, torch::Device device) {
  torch::Tensor visible;
  if (given.real.defined()) visible = given.real.unsqueeze(1).unsqueeze(1);  // [B, 1, 1, T]
  if (given.chunk == 0) return visible;
  const torch::Tensor place =
      torch::arange(frames, torch::TensorOptions().dtype(torch::kInt64).device(device));
  const torch::Tensor end = (place.div(given.chunk, "floor") + 1) * given.chunk;
  torch::Tensor heard = place.unsqueeze(0) < end.unsqueeze(1);  // [T, T]
  if (given.chunked.defined()) heard = heard | ~given.chunked.view({-1, 1, 1, 1});
  return visible.defined() ? visible & heard : heard;
}

}  // namespace

DitOptions dit_options(const TensorFile& flow, const std::string& prefix) {
  const auto size = [&](const std::string& name, size_t axis, size_t dimensions) {
    return shape_of(flow, prefix + name, dimensions)[axis];
  };
  DitOptions o;
  o.depth = count_tensors(flow, prefix + "transformer_blocks.", ".attn.to_q.weight");
  o.dim = size("proj_out.weight", 1, 2);
  o.mels = size("proj_out.weight", 0, 2);
  o.input = size("input_embed.proj.weight", 1, 2);
  o.ffn = size("transformer_blocks.0.ff.ff.0.0.weight", 0, 2);
  o.frequencies = size("time_embed.time_mlp.0.weight", 1, 2);
  // The rotation's table alone tells the width of a head.
  o.head_dim = 2 * size("rotary_embed.inv_freq", 0, 1);
  const int64_t inner = size("transformer_blocks.0.attn.to_q.weight", 0, 2);
  o.heads = o.head_dim > 0 ? inner / o.head_dim : 0;
  const std::string position = "input_embed.conv_pos_embed.conv1.0.weight";
  o.kernel = size(position, 2, 3);
  o.groups = o.dim / size(position, 1, 3);
  if (o.depth < 1 || o.heads * o.head_dim != inner || o.input != 4 * o.mels ||
      o.groups * size(position, 1, 3) != o.dim)
    throw DataError(
        "the flow's estimator has sizes that do not fit together: " + std::to_string(o.depth) +
            " blocks, " + std::to_string(inner) + " channels in heads of " +
            std::to_string(o.head_dim) + ", " + std::to_string(o.input) + " channels in for " +
            std::to_string(o.mels) + " bands",
        flow.path().string(), "is this the flow.pt of CosyVoice 3?");
  return o;
}

DitBlockImpl::DitBlockImpl(const DitOptions& o) : heads_(o.heads), dropout_(o.dropout) {
  const int64_t inner = o.heads * o.head_dim;
  norm_ = register_module("attn_norm", ModuleGroup())->add("linear", linear(o.dim, 6 * o.dim));
  auto attention = register_module("attn", ModuleGroup());
  to_q = attention->add("to_q", linear(o.dim, inner, LinearRole::kAttention));
  to_k = attention->add("to_k", linear(o.dim, inner, LinearRole::kAttention));
  to_v = attention->add("to_v", linear(o.dim, inner, LinearRole::kAttention));
  to_out_ =
      attention->add("to_out", ModuleGroup())->add(0, linear(inner, o.dim, LinearRole::kAttention));
  auto feed_forward = register_module("ff", ModuleGroup())->add("ff", ModuleGroup());
  up_ = feed_forward->add(0, ModuleGroup())->add(0, linear(o.dim, o.ffn, LinearRole::kMlp));
  down_ = feed_forward->add(2, linear(o.ffn, o.dim, LinearRole::kMlp));
}

torch::Tensor DitBlockImpl::attend(const torch::Tensor& x, const Rope& rope,
                                   const torch::Tensor& visible) {
  const auto heads = [&](const torch::Tensor& y) {
    return y.unflatten(-1, {heads_, -1}).transpose(1, 2);  // [B, H, T, d]
  };
  // Upstream rotates the first head_dim channels of the projection before it is cut into heads: the
  // first head has positions, the others have none.
  const auto rotated = [&](const torch::Tensor& y) {
    const torch::Tensor all = heads(y);
    return torch::cat({apply_rope(all.narrow(1, 0, 1), rope), all.narrow(1, 1, heads_ - 1)}, 1);
  };
  const torch::Tensor seen =
      torch::scaled_dot_product_attention(
          rotated(to_q(x)), rotated(to_k(x)), heads(to_v(x)),
          visible.defined() ? std::optional<torch::Tensor>(visible) : std::nullopt)
          .transpose(1, 2)
          .flatten(2);
  return torch::dropout(to_out_(seen), dropout_, is_training());
}

torch::Tensor DitBlockImpl::forward(const torch::Tensor& x, const torch::Tensor& modulation,
                                    const Rope& rope, const torch::Tensor& visible,
                                    const StageProbe& probe) {
  const std::vector<torch::Tensor> m = modulation.chunk(6, -1);  // shift, scale, gate, twice
  const torch::Tensor heard = attend(modulated(x, m[1], m[0]), rope, visible);
  if (probe) probe("attn0", heard);
  const torch::Tensor h = x + m[2].unsqueeze(1) * heard;
  const torch::Tensor inner =
      torch::dropout(torch::gelu(up_(modulated(h, m[4], m[3])), "tanh"), dropout_, is_training());
  return h + m[5].unsqueeze(1) * down_(inner);
}

DitImpl::DitImpl(const DitOptions& o) : options_(o) {
  auto time = register_module("time_embed", ModuleGroup())->add("time_mlp", ModuleGroup());
  time_1_ = time->add(0, linear(o.frequencies, o.dim));
  time_2_ = time->add(2, linear(o.dim, o.dim));
  auto input = register_module("input_embed", ModuleGroup());
  proj_ = input->add("proj", linear(o.input, o.dim));
  auto positions = input->add("conv_pos_embed", ModuleGroup());
  const ConvOptions conv{.in = o.dim, .out = o.dim, .kernel = o.kernel, .groups = o.groups};
  position_1_ = positions->add("conv1", ModuleGroup())->add(0, Conv1d(conv));
  position_2_ = positions->add("conv2", ModuleGroup())->add(0, Conv1d(conv));
  inv_freq_ = register_module("rotary_embed", ModuleGroup())
                  ->register_buffer("inv_freq", torch::empty({o.head_dim / 2}));
  auto blocks = register_module("transformer_blocks", ModuleGroup());
  for (int64_t i = 0; i < o.depth; ++i) blocks_.push_back(blocks->add(i, DitBlock(o)));
  norm_out_ = register_module("norm_out", ModuleGroup())->add("linear", linear(o.dim, 2 * o.dim));
  proj_out = register_module("proj_out", linear(o.dim, o.mels));
}

std::vector<torch::Tensor> DitImpl::embed_times(const torch::Tensor& times,
                                                const StageProbe& probe) {
  const auto type = time_1_->weight.scalar_type();
  const torch::Tensor waves = sinusoidal_time_embedding(times, options_.frequencies / 2).to(type);
  const torch::Tensor embedded = time_2_(torch::silu(time_1_(waves)));  // [N, D]
  if (probe) probe("time_embed", embedded.narrow(0, 0, 1));
  std::vector<torch::Tensor> results = {torch::silu(embedded)};
  if (torch::GradMode::is_enabled()) return results;
  for (DitBlock& block : blocks_) results.push_back(block->modulation(results.front()));
  results.push_back(norm_out_(results.front()));
  return results;
}

torch::Tensor DitImpl::embed(const torch::Tensor& x, const FlowConditions& given) {
  const torch::Tensor speaker = given.speaker.unsqueeze(2).expand({-1, -1, x.size(2)});
  const torch::Tensor h =
      proj_(torch::cat({x, given.prompt, given.mu, speaker}, 1).transpose(1, 2));
  const auto causal = [&](Conv1d& conv, const torch::Tensor& y) {
    return torch::mish(conv(torch::constant_pad_nd(y, {options_.kernel - 1, 0})));
  };
  return h + causal(position_2_, causal(position_1_, h.transpose(1, 2))).transpose(1, 2);
}

Rope DitImpl::rope(int64_t frames) const {
  const torch::Tensor place = torch::arange(frames, inv_freq_.options().dtype(torch::kFloat32));
  const torch::Tensor angle =
      (place.unsqueeze(1) * inv_freq_.to(torch::kFloat32)).repeat_interleave(2, 1);  // [T, d]
  const auto type = time_1_->weight.scalar_type();
  return {angle.cos().to(type).view({1, 1, frames, -1}),
          angle.sin().to(type).view({1, 1, frames, -1}), RopeLayout::kInterleaved};
}

torch::Tensor DitImpl::velocity(const torch::Tensor& x, const std::vector<torch::Tensor>& time,
                                const FlowConditions& given, const StageProbe& probe) {
  torch::Tensor h = embed(x, given);
  if (probe) probe("input_embed", h);
  const Rope turned = rope(h.size(1));
  const torch::Tensor visible = visible_frames(given, h.size(1), h.device());
  const bool known = time.size() > 1;  // what the blocks make of the time
  for (size_t i = 0; i < blocks_.size(); ++i) {
    DitBlock& block = blocks_[i];
    if (known || !recomputes()) {
      h = block(h, known ? time[i + 1] : block->modulation(time[0]), turned, visible,
                i == 0 ? probe : StageProbe{});
    } else {
      const auto piece = [block, turned, visible](const torch::Tensor& of,
                                                  const torch::Tensor& at) mutable {
        return block(of, block->modulation(at), turned, visible);
      };
      h = checkpoint(piece, h, time[0]);
    }
    if (probe && i == 0) probe("block0", h);
  }
  const std::vector<torch::Tensor> last = (known ? time.back() : norm_out_(time[0])).chunk(2, -1);
  const torch::Tensor velocity =
      proj_out(modulated(h, last[0], last[1])).transpose(1, 2);  // scale first here
  if (probe) probe("velocity", velocity);
  return velocity;
}

}  // namespace ttsft::cosyvoice3
