#include "ttsft/nn/decoder_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <optional>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/lora.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;
using ::testing::ElementsAre;

constexpr double kTheta = 10000;

// The stack as the papers write it: in double, one head of one row at a time, softmax over the
// visible keys alone. Differentiable, so that gradients can be compared too.
class NaiveStack {
 public:
  NaiveStack(torch::nn::Module& module, const StackOptions& options)
      : o_(options.block), scaling_(options.rope_scaling) {
    layers_ = options.layers;
    for (const auto& item : module.named_parameters()) {
      weights_[item.key()] = item.value().detach().to(torch::kFloat64).requires_grad_(true);
    }
  }

  // x [T, D]; visible [T, T]
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& positions,
                        const torch::Tensor& visible) {
    for (int64_t i = 0; i < layers_; ++i) {
      prefix_ = "layers." + std::to_string(i) + ".";
      const torch::Tensor h = attention(norm(x, "input_layernorm"), positions, visible);
      x = x + scaled(h, "self_attn_layer_scale.scale");
      const torch::Tensor m = mlp(norm(x, "post_attention_layernorm"));
      x = x + scaled(m, "mlp_layer_scale.scale");
    }
    return x;
  }

  const std::map<std::string, torch::Tensor>& weights() const { return weights_; }

 private:
  torch::Tensor w(const std::string& name) const { return weights_.at(prefix_ + name); }
  bool has(const std::string& name) const { return weights_.contains(prefix_ + name); }

  torch::Tensor linear(const torch::Tensor& x, const std::string& name) const {
    const torch::Tensor y = torch::mm(x, w(name + ".weight").t());
    return has(name + ".bias") ? y + w(name + ".bias") : y;
  }
  torch::Tensor scaled(const torch::Tensor& x, const std::string& name) const {
    return has(name) ? x * w(name) : x;
  }
  torch::Tensor rms(const torch::Tensor& x, const torch::Tensor& weight) const {
    return x / (x.square().mean(-1, true) + o_.norm_eps).sqrt() * weight;
  }
  torch::Tensor norm(const torch::Tensor& x, const std::string& name) const {
    if (o_.norm == NormKind::kRms) return rms(x, w(name + ".weight"));
    const torch::Tensor centred = x - x.mean(-1, true);
    const torch::Tensor y = centred / (centred.square().mean(-1, true) + o_.norm_eps).sqrt();
    return y * w(name + ".weight") + w(name + ".bias");
  }

  // Llama 3.1's: by the turns that a pair makes within the length it was first trained on.
  double stretched(double frequency) const {
    if (!scaling_) return frequency;
    const double turns = scaling_->original_max_position * frequency / (2 * std::numbers::pi);
    if (turns < scaling_->low_freq_factor) return frequency / scaling_->factor;
    if (turns > scaling_->high_freq_factor) return frequency;
    const double share = (turns - scaling_->low_freq_factor) /
                         (scaling_->high_freq_factor - scaling_->low_freq_factor);
    return frequency * ((1 - share) / scaling_->factor + share);
  }

  // One head, [T, d]: the first half as real parts, the second as imaginary ones.
  torch::Tensor rotate(const torch::Tensor& x, const torch::Tensor& positions) const {
    const int64_t half = o_.head_dim / 2;
    std::vector<double> frequency;
    for (int64_t i = 0; i < half; ++i) {
      const double plain = std::pow(kTheta, -static_cast<double>(i) / static_cast<double>(half));
      frequency.push_back(stretched(plain));
    }
    const torch::Tensor angle =
        torch::outer(positions.to(torch::kFloat64), torch::tensor(frequency, torch::kFloat64));
    const torch::Tensor re = x.narrow(1, 0, half), im = x.narrow(1, half, half);
    return torch::cat({re * angle.cos() - im * angle.sin(), im * angle.cos() + re * angle.sin()},
                      1);
  }

  torch::Tensor attention(const torch::Tensor& x, const torch::Tensor& positions,
                          const torch::Tensor& visible) const {
    const int64_t d = o_.head_dim;
    const torch::Tensor q = linear(x, "self_attn.q_proj"), k = linear(x, "self_attn.k_proj"),
                        v = linear(x, "self_attn.v_proj");
    std::vector<torch::Tensor> heads;
    for (int64_t h = 0; h < o_.heads; ++h) {
      const int64_t shared = h / (o_.heads / o_.kv_heads);
      torch::Tensor query = q.narrow(1, h * d, d), key = k.narrow(1, shared * d, d);
      if (o_.qk_norm != QkNorm::kNone) {
        query = rms(query, w("self_attn.q_norm.weight"));
        key = rms(key, w("self_attn.k_norm.weight"));
      }
      const torch::Tensor scores =
          torch::mm(rotate(query, positions), rotate(key, positions).t()) / std::sqrt(d);
      const torch::Tensor e = torch::where(visible, scores.exp(), torch::zeros_like(scores));
      heads.push_back(torch::mm(e / e.sum(1, true), v.narrow(1, shared * d, d)));
    }
    return linear(torch::cat(heads, 1), "self_attn.o_proj");
  }

  torch::Tensor mlp(const torch::Tensor& x) const {
    if (o_.mlp == MlpKind::kSwiGlu) {
      const torch::Tensor gate = linear(x, "mlp.gate_proj");
      return linear(gate / ((-gate).exp() + 1) * linear(x, "mlp.up_proj"), "mlp.down_proj");
    }
    const torch::Tensor h = linear(x, "mlp.fc1");
    return linear(h * 0.5 * (1 + torch::erf(h / std::sqrt(2.0))), "mlp.fc2");
  }

  BlockOptions o_;
  std::optional<Llama3Scaling> scaling_;
  int64_t layers_ = 0;
  std::map<std::string, torch::Tensor> weights_;
  std::string prefix_;
};

StackOptions qwen3() {
  StackOptions options;
  options.block = {.hidden = 12, .intermediate = 20, .heads = 4, .kv_heads = 2, .head_dim = 6};
  options.block.qk_norm = QkNorm::kPerHead;
  options.layers = 2;
  options.rope_theta = kTheta;
  return options;
}

StackOptions qwen2() {
  StackOptions options = qwen3();
  options.block.qk_norm = QkNorm::kNone;
  options.block.qkv_bias = true;
  options.block.kv_heads = 1;
  return options;
}

StackOptions codec() {
  StackOptions options = qwen3();
  options.block.qk_norm = QkNorm::kNone;
  options.block.kv_heads = 4;
  options.block.norm = NormKind::kLayer;
  options.block.norm_eps = 1e-3;
  options.block.mlp = MlpKind::kGelu;
  options.block.layer_scale = true;
  options.block.window = 3;
  return options;
}

DecoderStack make_stack(const StackOptions& options) {
  DecoderStack stack(options);
  test::randomize(*stack);
  return stack;
}

torch::Tensor causal(int64_t time, int64_t window = 0) {
  const torch::Tensor all = torch::ones({time, time}, torch::kBool).tril();
  return window > 0 ? all & all.triu(1 - window) : all;
}

// Outputs and all gradients of one batch of rows against the naive stack.
void compare(const StackOptions& options, const torch::Tensor& positions, const torch::Tensor& mask,
             const torch::Tensor& visible, const std::string& what) {
  DecoderStack stack = make_stack(options);
  NaiveStack naive(*stack, options);
  const int64_t time = visible.size(0);
  const torch::Tensor x = random({2, time, options.block.hidden}, 1).requires_grad_(true);
  const torch::Tensor g = random(x.sizes(), 2);
  const torch::Tensor y = stack(x, positions, mask);
  (y * g).sum().backward();

  const torch::Tensor in = x.detach().to(torch::kFloat64).requires_grad_(true);
  const torch::Tensor where = positions.defined() ? positions : torch::arange(time);
  const auto row = [&](int64_t b) {
    return naive.forward(in[b], where.dim() == 2 ? where[b] : where, visible);
  };
  const torch::Tensor wanted = torch::stack({row(0), row(1)});
  (wanted * g).sum().backward();
  const auto tolerance = [](const torch::Tensor& t) {
    return 2e-5 * std::max(1.0, t.abs().max().item<double>());
  };
  expect_close(y, wanted, tolerance(wanted), what);
  expect_close(x.grad(), in.grad(), tolerance(in.grad()), what + ", gradient of x");
  for (const auto& item : stack->named_parameters()) {
    const torch::Tensor grad = naive.weights().at(item.key()).grad();
    expect_close(item.value().grad(), grad, tolerance(grad), what + ", " + item.key());
  }
}

TEST(DecoderStack, EqualsTheNaiveOne) {
  for (const int64_t time : {1, 2, 7}) {
    const std::string length = " of " + std::to_string(time);
    compare(qwen3(), {}, {}, causal(time), "qwen3" + length);
    compare(qwen2(), {}, {}, causal(time), "qwen2" + length);
    compare(codec(), {}, {}, causal(time, 3), "codec" + length);
  }
}

TEST(DecoderStack, WindowsOfEverySize) {
  for (int64_t window = 1; window <= 6; ++window) {
    StackOptions options = qwen3();
    options.block.window = window;
    compare(options, {}, {}, causal(5, window), "window " + std::to_string(window));
  }
}

// So long that blocks see themselves and the one before them, with and without a last full one.
TEST(DecoderStack, WindowsOfLongSequencesAreBands) {
  for (const int64_t window : {1, 3, 33, 40}) {
    StackOptions options = qwen3();
    options.block.window = window;
    for (const int64_t time : {160, 171})
      compare(options, {}, {}, causal(time, window), "window " + std::to_string(window));
  }
}

TEST(DecoderStack, GivenPositions) {
  compare(qwen3(), torch::tensor({3, 4, 9, 1, 0}), {}, causal(5), "one for all");
  compare(qwen3(), torch::tensor({{0, 1, 2, 3, 4}, {7, 8, 8, 8, 20}}), {}, causal(5), "each row's");
}

// The three frequencies of a head of 6 have wavelengths of 6.3, 135 and 2917 positions: one below
// 300 / 4, one between, one above 300.
TEST(DecoderStack, RopeScalingReachesTheAttention) {
  StackOptions scaled = qwen3();
  scaled.rope_scaling = Llama3Scaling{8, 1, 4, 300};
  const torch::Tensor far = torch::tensor({0, 40, 90, 200, 350});
  compare(scaled, far, {}, causal(5), "scaled");
  compare(scaled, {}, {}, causal(5), "scaled, positions from 0");

  const torch::NoGradGuard no_grad;
  const torch::Tensor x = random({1, 5, 12}, 1);
  const torch::Tensor with = make_stack(scaled)(x, far), without = make_stack(qwen3())(x, far);
  EXPECT_GT((with - without).abs().max().item<double>(), 1e-2);
}

TEST(DecoderStack, AMaskReplacesCausality) {
  const torch::Tensor both_ways = torch::ones({5, 5}, torch::kBool);
  compare(qwen3(), {}, both_ways, both_ways, "everything visible");
  torch::Tensor holes = causal(5);
  holes[4][1] = false;
  holes[3][0] = false;
  compare(qwen3(), {}, holes, holes, "holes");
  compare(qwen3(), {}, holes.view({1, 1, 5, 5}), holes, "four dimensions");
}

TEST(DecoderStack, AWindowHoldsUnderAMaskToo) {
  torch::Tensor holes = causal(6);
  holes[5][4] = false;
  compare(codec(), {}, holes, holes & causal(6, 3), "window and mask");
}

std::vector<std::string> names(torch::nn::Module& module) {
  std::vector<std::string> result;
  for (const auto& item : module.named_parameters()) result.push_back(item.key());
  return result;
}

TEST(DecoderStack, NamesAreHuggingFaces) {
  StackOptions one = qwen3();
  one.layers = 1;
  EXPECT_THAT(
      names(*DecoderStack(one)),
      ElementsAre("layers.0.input_layernorm.weight", "layers.0.self_attn.q_proj.weight",
                  "layers.0.self_attn.k_proj.weight", "layers.0.self_attn.v_proj.weight",
                  "layers.0.self_attn.o_proj.weight", "layers.0.self_attn.q_norm.weight",
                  "layers.0.self_attn.k_norm.weight", "layers.0.post_attention_layernorm.weight",
                  "layers.0.mlp.gate_proj.weight", "layers.0.mlp.up_proj.weight",
                  "layers.0.mlp.down_proj.weight"));
  one = qwen2();
  one.layers = 1;
  const auto biased = DecoderStack(one)->named_parameters();
  for (const std::string name : {"q_proj", "k_proj", "v_proj"}) {
    EXPECT_TRUE(biased.contains("layers.0.self_attn." + name + ".bias")) << name;
  }
  EXPECT_FALSE(biased.contains("layers.0.self_attn.o_proj.bias"));
  one = codec();
  one.layers = 1;
  EXPECT_THAT(names(*DecoderStack(one)),
              ElementsAre("layers.0.input_layernorm.weight", "layers.0.input_layernorm.bias",
                          "layers.0.self_attn.q_proj.weight", "layers.0.self_attn.k_proj.weight",
                          "layers.0.self_attn.v_proj.weight", "layers.0.self_attn.o_proj.weight",
                          "layers.0.post_attention_layernorm.weight",
                          "layers.0.post_attention_layernorm.bias", "layers.0.mlp.fc1.weight",
                          "layers.0.mlp.fc2.weight", "layers.0.self_attn_layer_scale.scale",
                          "layers.0.mlp_layer_scale.scale"));
}

TEST(DecoderStack, LinearsKnowTheirRoles) {
  for (const StackOptions& options : {qwen3(), codec()}) {
    DecoderStack stack(options);
    for (const AdapterSite& site : adapter_sites(*stack)) {
      const bool attention = site.path.find(".self_attn.") != std::string::npos;
      EXPECT_EQ(site.linear->options().role, attention ? LinearRole::kAttention : LinearRole::kMlp)
          << site.path;
    }
  }
}

TEST(DecoderStack, RunsInBf16) {
  DecoderStack stack = make_stack(qwen3());
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = random({2, 6, 12}, 1);
  const torch::Tensor wanted = stack(x);
  stack->to(torch::kBFloat16);
  const torch::Tensor y = stack(x.to(torch::kBFloat16));
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  expect_close(y, wanted, 0.05 * wanted.abs().max().item<double>());
}

}  // namespace
}  // namespace ttsft
