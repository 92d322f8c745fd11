// The decoder block under the names and options of models that are not Hugging Face's: each against
// the plain block with the weights laid out anew, or against attention written out.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/decoder_block.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;

constexpr int64_t kTime = 7;

StackOptions plain() {
  StackOptions options;
  options.block = {.hidden = 12, .intermediate = 20, .heads = 4, .kv_heads = 2, .head_dim = 6};
  options.layers = 2;
  return options;
}

DecoderStack make(const StackOptions& options) {
  DecoderStack stack(options);
  test::randomize(*stack);
  return stack;
}

torch::Tensor weight(DecoderStack& stack, const std::string& name) {
  return *stack->named_parameters().find(name);
}

// Meta's names and one projection for q, k and v, as Fish Speech has them.
TEST(BlockOptions, OneFusedProjectionUnderOtherNames) {
  const torch::NoGradGuard no_grad;
  StackOptions options = plain();
  options.block.layer_scale = true;
  DecoderStack separate = make(options);
  options.block.names = {.o = "wo",
                         .qkv = "wqkv",
                         .gate = "w1",
                         .up = "w3",
                         .down = "w2",
                         .attention = "attention",
                         .mlp = "feed_forward",
                         .attention_norm = "attention_norm",
                         .mlp_norm = "ffn_norm",
                         .attention_scale = "attention_layer_scale",
                         .mlp_scale = "ffn_layer_scale",
                         .scale_parameter = "gamma"};
  DecoderStack fused = make(options);
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    const auto from = [&](const std::string& name) { return weight(separate, layer + name); };
    const auto put = [&](const std::string& name, const torch::Tensor& value) {
      weight(fused, layer + name).copy_(value);
    };
    put("attention.wqkv.weight",
        torch::cat({from("self_attn.q_proj.weight"), from("self_attn.k_proj.weight"),
                    from("self_attn.v_proj.weight")}));
    put("attention.wo.weight", from("self_attn.o_proj.weight"));
    put("feed_forward.w1.weight", from("mlp.gate_proj.weight"));
    put("feed_forward.w3.weight", from("mlp.up_proj.weight"));
    put("feed_forward.w2.weight", from("mlp.down_proj.weight"));
    put("attention_norm.weight", from("input_layernorm.weight"));
    put("ffn_norm.weight", from("post_attention_layernorm.weight"));
    put("attention_layer_scale.gamma", from("self_attn_layer_scale.scale"));
    put("ffn_layer_scale.gamma", from("mlp_layer_scale.scale"));
  }
  const torch::Tensor x = random({2, kTime, 12}, 1);
  expect_close(fused(x), separate(x), 1e-5);
}

// Voxtral's scales are parameters of the block itself.
TEST(BlockOptions, LayerScalesMayBeBareParameters) {
  StackOptions options = plain();
  options.block.layer_scale = true;
  options.block.names.attention_scale = "attention_scale";
  options.block.names.mlp_scale = "ffn_scale";
  options.block.names.scale_parameter = nullptr;
  DecoderStack stack = make(options);
  EXPECT_EQ(weight(stack, "layers.1.attention_scale").sizes(), (torch::IntArrayRef{12}));
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = random({1, kTime, 12}, 1), before = stack(x);
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    weight(stack, layer + "attention_scale").zero_();
    weight(stack, layer + "ffn_scale").zero_();
  }
  expect_close(stack(x), x, 0, "nothing is added");
  EXPECT_FALSE(torch::allclose(before, x));
}

// As around the windowed transformers of codecs; in pieces too.
TEST(BlockOptions, ProjectionsAndANormAroundTheBlocks) {
  const torch::NoGradGuard no_grad;
  StackOptions options = plain();
  options.block.window = 3;
  DecoderStack inner = make(options);
  options.outside = 7;
  options.final_norm = "norm";
  DecoderStack stack = make(options);
  for (const auto& item : inner->named_parameters()) weight(stack, item.key()).copy_(item.value());
  EXPECT_EQ(weight(stack, "input_proj.weight").sizes(), (torch::IntArrayRef{12, 7}));
  EXPECT_EQ(weight(stack, "output_proj.weight").sizes(), (torch::IntArrayRef{7, 12}));
  const torch::Tensor x = random({2, kTime, 7}, 1);
  const auto linear = [&](const torch::Tensor& y, const std::string& name) {
    return torch::matmul(y, weight(stack, name + ".weight").t()) + weight(stack, name + ".bias");
  };
  const torch::Tensor h = inner(linear(x, "input_proj"));
  const torch::Tensor normed = h / (h.square().mean(-1, true) + options.block.norm_eps).sqrt();
  const torch::Tensor wanted = linear(normed * weight(stack, "norm.weight"), "output_proj");
  expect_close(stack(x), wanted, 1e-5);

  KvCache cache = stack->make_cache(2, kTime, torch::kFloat32);
  const torch::Tensor first = stack->forward(x.narrow(1, 0, 4), {}, {}, &cache);
  const torch::Tensor rest = stack->forward(x.narrow(1, 4, kTime - 4), {}, {}, &cache);
  expect_close(torch::cat({first, rest}, 1), wanted, 1e-5, "in two pieces");
}

TEST(BlockOptions, ANormMayBeCalledAnything) {
  StackOptions options = plain();
  options.block.norm = NormKind::kLayer;
  options.final_norm = "final_layernorm";
  DecoderStack stack = make(options);
  EXPECT_EQ(weight(stack, "final_layernorm.bias").size(0), 12);
  EXPECT_FALSE(stack->named_parameters().contains("input_proj.weight"));
  weight(stack, "final_layernorm.weight").data().zero_();
  const torch::NoGradGuard no_grad;
  const torch::Tensor y = stack(random({1, kTime, 12}, 1));
  expect_close(y, weight(stack, "final_layernorm.bias").expand_as(y), 0);
}

// Interleaved pairs on weights are halves on the same weights with the rows of each head sorted.
TEST(BlockOptions, InterleavedRotation) {
  const torch::NoGradGuard no_grad;
  StackOptions options = plain();
  DecoderStack halves = make(options);
  options.rope_layout = RopeLayout::kInterleaved;
  DecoderStack interleaved = make(options);
  const torch::Tensor order = torch::tensor({0, 3, 1, 4, 2, 5}).to(torch::kInt64);
  for (const auto& item : halves->named_parameters()) {
    torch::Tensor value = item.value();
    if (item.key().find("q_proj") != std::string::npos ||
        item.key().find("k_proj") != std::string::npos)
      value = value.view({-1, 6, 12}).index_select(1, order).reshape(value.sizes());
    weight(interleaved, item.key()).copy_(value);
  }
  const torch::Tensor x = random({2, kTime, 12}, 1);
  expect_close(interleaved(x), halves(x), 1e-5);
}

TEST(BlockOptions, RotationTablesMayBeRoundedToBf16) {
  const torch::NoGradGuard no_grad;
  RopeTable table({6, 10000, RopeLayout::kHalves, {}}, /*bf16=*/true);
  const Rope exact = make_rope(torch::arange(40), 6, 10000, torch::kFloat32);
  const Rope rounded = table.range(10, 5, torch::kCPU, torch::kFloat32);
  EXPECT_EQ(rounded.cos.scalar_type(), torch::kFloat32);
  expect_close(rounded.cos, exact.cos.narrow(2, 10, 5).to(torch::kBFloat16).to(torch::kFloat32), 0);
  expect_close(rounded.sin, exact.sin.narrow(2, 10, 5).to(torch::kBFloat16).to(torch::kFloat32), 0);
  const Rope at = table.at(torch::tensor({{12, 3}}), 40, torch::kFloat32);
  expect_close(at.sin.flatten(0, 1)[0][0], rounded.sin[0][0][2], 0);
}

TEST(RopeTable, IsTheSameAsMakingItAnew) {
  RopeTable table({8, 500000, RopeLayout::kHalves, Llama3Scaling{}});
  RopeOptions options{8, 500000, RopeLayout::kHalves, Llama3Scaling{}};
  for (const int64_t first : {0, 5, 1020, 3000}) {  // the table grows
    const Rope wanted = make_rope(torch::arange(first, first + 9), options, torch::kFloat32);
    const Rope got = table.range(first, 9, torch::kCPU, torch::kFloat32);
    expect_close(got.cos, wanted.cos, 0);
    expect_close(got.sin, wanted.sin, 0);
  }
  {
    const c10::InferenceMode inference;
    table.range(0, 9000, torch::kCPU, torch::kFloat32);
  }
  EXPECT_FALSE(table.range(0, 3, torch::kCPU, torch::kFloat32).cos.is_inference())
      << "training may use a table that synthesis made";
}

// One layer of attention alone, written out for one row. visible and bias are [H, T, T].
torch::Tensor written_out(DecoderStack& stack, const BlockOptions& o, const torch::Tensor& x,
                          const torch::Tensor& bias) {
  const auto w = [&](const std::string& name) { return weight(stack, "layers.0." + name); };
  const auto rms = [](const torch::Tensor& y, const torch::Tensor& scale, double eps) {
    return y / (y.pow(2).mean(-1, true) + eps).sqrt() * scale;
  };
  const torch::Tensor n = rms(x, w("input_layernorm.weight"), o.norm_eps);
  torch::Tensor q = torch::mm(n, w("self_attn.q_proj.weight").t());
  torch::Tensor k = torch::mm(n, w("self_attn.k_proj.weight").t());
  const torch::Tensor v = torch::mm(n, w("self_attn.v_proj.weight").t());
  if (o.qk_norm == QkNorm::kWhole) {
    q = rms(q, w("self_attn.q_norm.weight"), o.qk_norm_eps);
    k = rms(k, w("self_attn.k_norm.weight"), o.qk_norm_eps);
  }
  std::vector<torch::Tensor> heads;
  for (int64_t h = 0; h < o.heads; ++h) {
    const int64_t d = o.head_dim, g = h / (o.heads / o.kv_heads);
    const torch::Tensor scores =
        torch::mm(q.narrow(1, h * d, d), k.narrow(1, g * d, d).t()) / std::sqrt(double(d)) + bias[h];
    heads.push_back(torch::mm(scores.softmax(-1), v.narrow(1, g * d, d)));
  }
  const torch::Tensor y = x + torch::mm(torch::cat(heads, 1), w("self_attn.o_proj.weight").t());
  const torch::Tensor m = rms(y, w("post_attention_layernorm.weight"), o.norm_eps);
  return y + torch::mm(torch::silu(torch::mm(m, w("mlp.gate_proj.weight").t())) *
                           torch::mm(m, w("mlp.up_proj.weight").t()),
                       w("mlp.down_proj.weight").t());
}

TEST(BlockOptions, AlibiWithAWindowAndNormsOverTheWidth) {
  const torch::NoGradGuard no_grad;
  StackOptions options = plain();
  options.layers = 1;
  options.rotates = false;
  options.block.alibi = true;
  options.block.qk_norm = QkNorm::kWhole;
  options.block.qk_norm_eps = 1e-3;
  options.block.norm_eps = 1e-2;
  for (const int64_t window : {0, 3}) {
    options.block.window = window;
    DecoderStack stack = make(options);
    EXPECT_EQ(weight(stack, "layers.0.self_attn.q_norm.weight").size(0), 24);
    const torch::Tensor x = random({2, kTime, 12}, 1);
    torch::Tensor bias = torch::zeros({4, kTime, kTime});
    for (int64_t h = 0; h < 4; ++h)
      for (int64_t i = 0; i < kTime; ++i)
        for (int64_t j = 0; j < kTime; ++j)
          bias[h][i][j] = j > i || (window > 0 && i - j >= window)
                              ? -INFINITY
                              : -std::pow(2.0, -2.0 * double(h)) * double(i - j);
    const torch::Tensor y = stack(x);
    for (int64_t b = 0; b < 2; ++b)
      expect_close(y[b], written_out(stack, options.block, x[b], bias), 1e-5,
                   "window " + std::to_string(window));
  }
}

TEST(BlockOptions, EveryPositionMaySeeAllOthers) {
  const torch::NoGradGuard no_grad;
  StackOptions options = plain();
  options.layers = 1;
  options.rotates = false;
  options.block.causal = false;
  DecoderStack stack = make(options);
  const torch::Tensor x = random({1, kTime, 12}, 1);
  expect_close(stack(x)[0],
               written_out(stack, options.block, x[0], torch::zeros({4, kTime, kTime})), 1e-5);
}

TEST(Alibi, SlopesBeginWithOne) {
  EXPECT_EQ(alibi_slopes(4), (std::vector<double>{1, 0.25, 0.0625, 0.015625}));
  const std::vector<double> eight = alibi_slopes(8);
  EXPECT_DOUBLE_EQ(eight[0], 1.0);
  EXPECT_DOUBLE_EQ(eight[7], std::pow(2.0, -7.0));
  // Six heads: the four of four, then every second one of eight.
  EXPECT_EQ(alibi_slopes(6), (std::vector<double>{1, 0.25, 0.0625, 0.015625, 1, 0.25}));
}

TEST(BlockOptions, ACacheIsForPlainCausalAttention) {
  StackOptions options = plain();
  options.block.alibi = true;
  DecoderStack stack = make(options);
  const torch::NoGradGuard no_grad;
  KvCache cache = stack->make_cache(1, 4, torch::kFloat32);
  EXPECT_THROW(stack->forward(random({1, 2, 12}, 1), {}, {}, &cache), std::logic_error);
}

}  // namespace
}  // namespace ttsft
