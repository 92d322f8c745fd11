#include "ttsft/nn/checkpointing.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <set>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/lora.h"

namespace ttsft {
namespace {

using test::expect_equal;
using test::random;

TEST(Checkpoint, RunsThePieceAgainForTheGradient) {
  int runs = 0;
  const torch::Tensor w = random({3}, 1).requires_grad_(true);
  const torch::Tensor x = random({3}, 2).requires_grad_(true);
  const torch::Tensor y = checkpoint(
      [&](const torch::Tensor& in) {
        ++runs;
        return (in * w).sin();
      },
      x);
  EXPECT_EQ(runs, 1);
  expect_equal(y, (x * w).sin());
  (y * 2).sum().backward();
  EXPECT_EQ(runs, 2);
  const torch::Tensor slope = 2 * (x * w).detach().cos();
  test::expect_close(x.grad(), slope * w, 1e-6);
  test::expect_close(w.grad(), slope * x, 1e-6);
}

TEST(Checkpoint, GradientsOfWeightsWhenTheInputNeedsNone) {
  const torch::Tensor w = random({3}, 1).requires_grad_(true), x = random({3}, 2);
  checkpoint([&](const torch::Tensor& in) { return in * w; }, x).sum().backward();
  ASSERT_TRUE(w.grad().defined());
  expect_equal(w.grad(), x);
  EXPECT_FALSE(x.requires_grad());
  EXPECT_FALSE(x.grad().defined());
}

TEST(Checkpoint, GradientsAddUpOverBatches) {
  const torch::Tensor w = random({3}, 1).requires_grad_(true);
  const torch::Tensor first = random({3}, 2), second = random({3}, 3);
  for (const torch::Tensor& x : {first, second}) {
    checkpoint([&](const torch::Tensor& in) { return in * w; }, x).sum().backward();
  }
  test::expect_close(w.grad(), first + second, 1e-6);
}

TEST(Checkpoint, AGraphThatIsThrownAwayFreesThePiece) {
  const auto held = std::make_shared<int>(0);
  {
    const torch::Tensor x = random({3}, 2).requires_grad_(true);
    const torch::Tensor y = checkpoint([held](const torch::Tensor& in) { return in * 2; }, x);
    EXPECT_GT(held.use_count(), 1);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(Checkpoint, DropoutDrawsTheSameMaskAgain) {
  const torch::Tensor w = random({64}, 1).requires_grad_(true), x = random({64}, 2);
  const auto piece = [&](const torch::Tensor& in) { return torch::dropout(in * w, 0.5, true); };
  torch::manual_seed(3);
  const torch::Tensor y = checkpoint(piece, x);
  const torch::Tensor after = torch::rand({4});  // the graph runs among other draws
  y.sum().backward();
  const torch::Tensor later = torch::rand({4});
  const torch::Tensor recomputed = w.grad().clone();
  w.mutable_grad() = torch::Tensor();
  torch::manual_seed(3);
  piece(x).sum().backward();
  ASSERT_GT((recomputed == 0).sum().item<int64_t>(), 10);
  expect_equal(recomputed, w.grad());
  // The stream goes on as if nothing had been run twice.
  expect_equal(torch::rand({4}), after);
  expect_equal(torch::rand({4}), later);
}

TEST(Checkpoint, InsideAnotherOneIsRunTwiceAndNotThreeTimes) {
  int runs = 0;
  const torch::Tensor w = random({3}, 1).requires_grad_(true), x = random({3}, 2);
  const auto inner = [&](const torch::Tensor& in) {
    ++runs;
    return in * w;
  };
  checkpoint([&](const torch::Tensor& in) { return checkpoint(inner, in); }, x).sum().backward();
  EXPECT_EQ(runs, 2);
  expect_equal(w.grad(), x);
}

TEST(Checkpoint, RowsAreRunInChunks) {
  std::vector<std::pair<int64_t, int64_t>> chunks;
  const torch::Tensor w = random({3}, 1).requires_grad_(true);
  const torch::Tensor x = random({5, 3}, 2).requires_grad_(true), scale = random({5, 1}, 3);
  const torch::Tensor y = checkpoint_rows(
      [&](const torch::Tensor& rows, int64_t first, int64_t n) {
        chunks.emplace_back(first, n);
        return rows * w * scale.narrow(0, first, n);
      },
      x, 2);
  expect_equal(y, x * w * scale);
  EXPECT_EQ(chunks, (std::vector<std::pair<int64_t, int64_t>>{{0, 2}, {2, 2}, {4, 1}}));
  y.sum().backward();
  EXPECT_EQ(chunks.size(), 6u);
  test::expect_close(x.grad(), w * scale, 1e-6);
  test::expect_close(w.grad(), (x * scale).sum(0), 1e-6);
  // No row at all is one empty chunk, so that shapes stay what they are.
  const auto keep = [](const torch::Tensor& rows, int64_t, int64_t) { return rows; };
  EXPECT_EQ(checkpoint_rows(keep, torch::zeros({0, 3}), 2).sizes(), torch::IntArrayRef({0, 3}));
}

StackOptions options_of() {
  StackOptions options;
  options.block = {.hidden = 12, .intermediate = 20, .heads = 4, .kv_heads = 2, .head_dim = 6};
  options.block.qk_norm = QkNorm::kPerHead;
  options.block.window = 4;
  options.layers = 3;
  return options;
}

TEST(ActivationCheckpointing, IsSwitchedForEveryStackBelowAModule) {
  struct Model : torch::nn::Module {
    Model() {
      first = register_module("first", DecoderStack(options_of()));
      second = register_module("second", DecoderStack(options_of()));
    }
    DecoderStack first{nullptr}, second{nullptr};
  } model;
  EXPECT_EQ(set_activation_checkpointing(model, true), 2);
  for (DecoderStack stack : {model.first, model.second}) {
    test::randomize(*stack);
    const torch::Tensor y = stack->forward(random({1, 3, 12}, 1).requires_grad_(true));
    EXPECT_NE(y.grad_fn()->name().find("Checkpoint"), std::string::npos) << y.grad_fn()->name();
  }
}

// Overwrites the stack that an earlier call used, as the next call of a program does.
[[gnu::noinline]] int64_t use_the_stack() {
  std::array<int64_t, 4096> values;
  values.fill(-1);
  volatile int64_t* first = values.data();
  return *first;
}

struct Result {
  torch::Tensor y, grad_x;
  std::map<std::string, torch::Tensor> grads;
};

Result run(bool recompute, bool x_needs_gradient, bool adapters) {
  DecoderStack stack(options_of());
  test::randomize(*stack);
  std::vector<std::pair<std::string, torch::Tensor>> trained;
  if (adapters) {
    PeftConfig config;
    for (auto& parameter : stack->parameters()) parameter.requires_grad_(false);
    const LoraSet set = LoraSet::create(adapter_sites(*stack), config, torch::kCPU, 3);
    trained = set.parameters();
    for (auto& [name, tensor] : trained) {
      tensor.copy_(random(tensor.sizes(), derive_seed(4, name), 0.3)).requires_grad_(true);
    }
  } else {
    for (const auto& item : stack->named_parameters())
      trained.emplace_back(item.key(), item.value());
  }
  stack->set_activation_checkpointing(recompute);
  const torch::Tensor x = random({2, 7, 12}, 1).requires_grad_(x_needs_gradient);
  const torch::Tensor positions = torch::arange(7) + 3;
  const torch::Tensor y = stack(x, positions);
  EXPECT_EQ(use_the_stack(), -1);
  (y * random(y.sizes(), 2)).sum().backward();
  Result result{y.detach(), x.grad(), {}};
  for (const auto& [name, tensor] : trained) result.grads[name] = tensor.grad();
  return result;
}

TEST(ActivationCheckpointing, SameNumbersAsWithout) {
  for (const bool x_needs_gradient : {true, false}) {
    for (const bool adapters : {false, true}) {
      const Result plain = run(false, x_needs_gradient, adapters);
      const Result again = run(true, x_needs_gradient, adapters);
      expect_equal(again.y, plain.y);
      ASSERT_EQ(again.grad_x.defined(), x_needs_gradient);
      if (x_needs_gradient) expect_equal(again.grad_x, plain.grad_x);
      ASSERT_EQ(again.grads.size(), plain.grads.size());
      ASSERT_GE(plain.grads.size(), 33u);
      for (const auto& [name, grad] : plain.grads) {
        ASSERT_TRUE(grad.defined()) << name;
        EXPECT_GT(grad.abs().max().item<double>(), 0) << name;
        expect_equal(again.grads.at(name), grad, name);
      }
    }
  }
}

TEST(ActivationCheckpointing, CostsNothingWithoutAGradient) {
  DecoderStack stack(options_of());
  test::randomize(*stack);
  const torch::Tensor x = random({1, 7, 12}, 1);
  const torch::Tensor plain = stack(x);
  stack->set_activation_checkpointing(true);
  {
    const torch::InferenceMode inference;
    expect_equal(stack(x), plain);
    KvCache cache = stack->make_cache(1, 7, torch::kFloat32);
    test::expect_close(stack->forward(x, {}, {}, &cache), plain, 1e-5);
  }
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(stack(x).requires_grad());
}

TEST(ActivationCheckpointing, KeepsFewerActivations) {
  // Without, the graph holds the insides of every block; with, one node stands for a block.
  const auto nodes = [](bool recompute) {
    DecoderStack stack(options_of());
    test::randomize(*stack);
    stack->set_activation_checkpointing(recompute);
    const torch::Tensor y = stack(random({1, 7, 12}, 1).requires_grad_(true));
    std::set<torch::autograd::Node*> seen;
    std::vector<torch::autograd::Node*> open = {y.grad_fn().get()};
    while (!open.empty()) {
      torch::autograd::Node* node = open.back();
      open.pop_back();
      if (!node || !seen.insert(node).second) continue;
      for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
    }
    return seen.size();
  };
  EXPECT_LE(nodes(true), 4u);  // three blocks and x
  EXPECT_GT(nodes(false), 60u);
}

// Several pieces hear one tensor that takes a gradient itself.
TEST(Checkpoint, WhatPiecesShareTakesItsGradient) {
  const auto gradients = [](bool recompute) {
    torch::Generator generator = make_generator(torch::kCPU, 7);
    const auto leaf = [&](torch::IntArrayRef shape) {
      return torch::randn(shape, generator).requires_grad_(true);
    };
    const torch::Tensor x = leaf({3, 4}), time = leaf({3, 4}), w = leaf({4, 4});
    const torch::Tensor shared = torch::tanh(time);
    torch::Tensor h = x;
    for (int piece = 0; piece < 3; ++piece) {
      const auto run = [w](const torch::Tensor& of, const torch::Tensor& context) {
        return of + torch::sin(torch::mm(of, w)) * context;
      };
      h = recompute ? checkpoint(run, h, shared) : run(h, shared);
    }
    h.square().sum().backward();
    return std::vector<torch::Tensor>{x.grad(), time.grad(), w.grad()};
  };
  const auto plain = gradients(false), again = gradients(true);
  for (size_t i = 0; i < plain.size(); ++i) {
    ASSERT_TRUE(again[i].defined()) << i;
    EXPECT_TRUE(torch::allclose(again[i], plain[i], 1e-5, 1e-6)) << i;
  }
}

}  // namespace
}  // namespace ttsft
