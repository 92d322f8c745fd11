#include "ttsft/nn/gpt2_block.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/lora.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::random;
using test::randomize;

constexpr int64_t kWidth = 12, kHeads = 3;

Gpt2Options tiny() {
  Gpt2Options options;
  options.layers = 3;
  options.hidden = kWidth;
  options.heads = kHeads;
  return options;
}

Gpt2Stack make_stack(const Gpt2Options& options = tiny()) {
  Gpt2Stack stack(options);
  randomize(*stack);
  stack->eval();
  return stack;
}

using Weights = std::map<std::string, torch::Tensor>;

torch::Tensor naive_norm(const Weights& w, const std::string& name, const torch::Tensor& x) {
  const torch::Tensor centred = x - x.mean(-1, true);
  const torch::Tensor deviation = (centred.pow(2).mean(-1, true) + 1e-5).sqrt();
  return centred / deviation * w.at(name + ".weight") + w.at(name + ".bias");
}

torch::Tensor naive_linear(const Weights& w, const std::string& name, const torch::Tensor& x) {
  return torch::matmul(x, w.at(name + ".weight")) + w.at(name + ".bias");
}

// One row [T, D] in double, position by position.
torch::Tensor naive(Gpt2Stack& stack, const torch::Tensor& input) {
  Weights w;
  for (const auto& item : stack->named_parameters())
    w[item.key()] = item.value().detach().to(torch::kFloat64);
  torch::Tensor x = input.to(torch::kFloat64);
  const int64_t time = x.size(0), d = kWidth / kHeads;
  for (int64_t layer = 0; layer < 3; ++layer) {
    const std::string h = "h." + std::to_string(layer) + ".";
    const torch::Tensor qkv = naive_linear(w, h + "attn.c_attn", naive_norm(w, h + "ln_1", x));
    torch::Tensor attended = torch::zeros_like(x);
    for (int64_t head = 0; head < kHeads; ++head) {
      const auto part = [&](int64_t which) { return qkv.narrow(1, which * kWidth + head * d, d); };
      for (int64_t t = 0; t < time; ++t) {
        const torch::Tensor scores =
            torch::mv(part(1).narrow(0, 0, t + 1), part(0)[t]) / std::sqrt(static_cast<double>(d));
        attended[t]
            .narrow(0, head * d, d)
            .copy_(torch::mv(part(2).narrow(0, 0, t + 1).t(), scores.softmax(0)));
      }
    }
    x = x + naive_linear(w, h + "attn.c_proj", attended);
    torch::Tensor y = naive_linear(w, h + "mlp.c_fc", naive_norm(w, h + "ln_2", x));
    y = 0.5 * y * (1 + torch::tanh(std::sqrt(2 / M_PI) * (y + 0.044715 * y.pow(3))));
    x = x + naive_linear(w, h + "mlp.c_proj", y);
  }
  return x;
}

TEST(Gpt2Stack, EqualsItsDefinition) {
  const torch::NoGradGuard no_grad;
  Gpt2Stack stack = make_stack();
  const torch::Tensor x = random({2, 7, kWidth}, 1);
  const torch::Tensor y = stack(x);
  for (int64_t b = 0; b < 2; ++b) {
    const torch::Tensor wanted = naive(stack, x[b]);
    expect_close(y[b], wanted, 1e-4 * wanted.abs().max().item<double>());
  }
}

TEST(Gpt2Stack, NamesAndShapesAreHuggingFaces) {
  std::map<std::string, std::string> shapes;
  Gpt2Stack stack(tiny());
  for (const auto& item : stack->named_parameters())
    shapes[item.key()] = test::shape_of(item.value());
  EXPECT_EQ(shapes.size(), 3u * 12 + 2);
  EXPECT_EQ(shapes.at("h.2.attn.c_attn.weight"), "[12, 36]");
  EXPECT_EQ(shapes.at("h.2.attn.c_attn.bias"), "[36]");
  EXPECT_EQ(shapes.at("h.0.attn.c_proj.weight"), "[12, 12]");
  EXPECT_EQ(shapes.at("h.0.mlp.c_fc.weight"), "[12, 48]");
  EXPECT_EQ(shapes.at("h.0.mlp.c_proj.weight"), "[48, 12]");
  EXPECT_EQ(shapes.at("h.1.ln_2.bias"), "[12]");
  EXPECT_EQ(shapes.at("ln_f.weight"), "[12]");
}

TEST(Gpt2Stack, DecodingWithACacheEqualsTheFullForward) {
  const torch::NoGradGuard no_grad;
  Gpt2Stack stack = make_stack();
  const torch::Tensor x = random({2, 8, kWidth}, 1), full = stack(x);
  for (const std::vector<int64_t>& pieces :
       {std::vector<int64_t>{8}, {5, 1, 1, 1}, {3, 4, 1}, {1, 7}}) {
    KvCache cache = stack->make_cache(2, 8, torch::kFloat32);
    std::vector<torch::Tensor> outputs;
    for (const int64_t piece : pieces)
      outputs.push_back(stack->forward(x.narrow(1, cache.length(), piece), {}, &cache));
    expect_close(torch::cat(outputs, 1), full, 1e-4, "first piece " + std::to_string(pieces[0]));
  }
}

TEST(Gpt2Stack, BeamsMayChangePlaces) {
  const torch::NoGradGuard no_grad;
  Gpt2Stack stack = make_stack();
  const torch::Tensor prompt = random({1, 4, kWidth}, 1), steps = random({3, 2, kWidth}, 2);
  KvCache cache = stack->make_cache(1, 8, torch::kFloat32);
  stack->forward(prompt, {}, &cache);
  cache.keep({0, 0, 0});
  stack->forward(steps.narrow(1, 0, 1), {}, &cache);
  const torch::Tensor rows = torch::tensor({2, 0, 2});
  cache.permute(rows, /*shared=*/4);
  const torch::Tensor got = stack->forward(steps.narrow(1, 1, 1), {}, &cache);
  const torch::Tensor alone =
      stack(torch::cat({prompt.expand({3, -1, -1}), steps.narrow(1, 0, 1).index_select(0, rows),
                        steps.narrow(1, 1, 1)},
                       1));
  expect_close(got, alone.narrow(1, 5, 1), 1e-4);
}

TEST(Gpt2Stack, MaskHidesLeftPadding) {
  const torch::NoGradGuard no_grad;
  Gpt2Stack stack = make_stack();
  const torch::Tensor x = random({1, 5, kWidth}, 1);
  const torch::Tensor padded = torch::cat({random({1, 2, kWidth}, 9), x}, 1);
  const torch::Tensor i = torch::arange(7);
  const torch::Tensor mask = (i.unsqueeze(0) <= i.unsqueeze(1)) &
                             ((i.unsqueeze(0) >= 2) | (i.unsqueeze(0) == i.unsqueeze(1)));
  expect_close(stack->forward(padded, mask).narrow(1, 2, 5), stack(x), 1e-4);
}

TEST(Gpt2Stack, AdaptersSitOnTransposedWeights) {
  Gpt2Stack stack = make_stack();
  const auto sites = select_sites(adapter_sites(*stack), {{"c_attn", "c_proj", "c_fc"}, ""});
  EXPECT_EQ(sites.size(), 12u);
  EXPECT_EQ(select_sites(adapter_sites(*stack), {{"attention"}, ""}).size(), 6u);
  PeftConfig config;
  config.r = 2;
  config.lora_alpha = 6;
  LoraSet set = LoraSet::create(sites, config, torch::kCPU, 1);
  const torch::NoGradGuard no_grad;
  for (const AdapterSite& site : set.sites()) {
    Linear linear = site.linear;
    linear->lora()->B.copy_(random(linear->lora()->B.sizes(), 3, 0.1));
  }
  const torch::Tensor x = random({1, 4, kWidth}, 1), with = stack(x);
  Linear c_fc = sites[2].linear;
  const torch::Tensor before = c_fc->weight.clone();
  const torch::Tensor delta = torch::mm(c_fc->lora()->B, c_fc->lora()->A) * 3;
  set.merge();
  expect_close(c_fc->weight, before + delta.t(), 1e-6);
  expect_close(stack(x), with, 1e-4);
}

TEST(Gpt2Stack, RecomputedBlocksGiveTheSameGradientsUnderDropout) {
  const torch::Tensor x = random({2, 5, kWidth}, 1);
  Gpt2Options options = tiny();
  options.embedding_dropout = options.attention_dropout = options.residual_dropout = 0.3;
  Gpt2Stack kept = make_stack(options), recomputed = make_stack(options);
  recomputed->set_activation_checkpointing(true);
  for (Gpt2Stack stack : {kept, recomputed}) {
    stack->train();
    torch::manual_seed(7);
    stack->ln_f(stack(x)).pow(2).sum().backward();
  }
  const auto wanted = kept->named_parameters();
  for (const auto& item : recomputed->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    const torch::Tensor gradient = wanted[item.key()].grad();
    expect_close(item.value().grad(), gradient, 1e-4 * (1 + gradient.abs().max().item<double>()),
                 item.key());
  }
}

TEST(Gpt2Stack, DropoutIsForTrainingAlone) {
  Gpt2Options options = tiny();
  const torch::Tensor x = random({1, 6, kWidth}, 1);
  const torch::NoGradGuard no_grad;
  const torch::Tensor plain = make_stack()(x);
  for (double Gpt2Options::*rate :
       {&Gpt2Options::embedding_dropout, &Gpt2Options::attention_dropout,
        &Gpt2Options::residual_dropout}) {
    Gpt2Options dropping = options;
    dropping.*rate = 0.3;
    Gpt2Stack stack = make_stack(dropping);
    EXPECT_TRUE(torch::equal(stack(x), plain));
    stack->train();
    EXPECT_GT((stack(x) - plain).abs().max().item<double>(), 1e-3);
  }
}

TEST(Gpt2Stack, WrongUse) {
  Gpt2Options options = tiny();
  options.heads = 5;
  EXPECT_THROW(Gpt2Stack{options}, std::logic_error);
}

}  // namespace
}  // namespace ttsft
