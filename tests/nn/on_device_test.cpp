// The layers of language models on another device against the CPU: what a card computes is what
// these tests' neighbours prove there.
#include <gtest/gtest.h>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "tests/support/test_device.h"
#include "ttsft/nn/decoder_block.h"
#include "ttsft/nn/gpt2_block.h"
#include "ttsft/nn/lora.h"
#include "ttsft/nn/loss.h"
#include "ttsft/nn/noise.h"
#include "ttsft/nn/precision.h"
#include "ttsft/nn/token_rules.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;
using test::test_device;

class OnDevice : public testing::Test {
 protected:
  void SetUp() override { TTSFT_REQUIRE_TEST_DEVICE(); }
  const PrecisionScope exact_{Float32::kExact};
};

StackOptions stack_options() {
  StackOptions options;
  options.layers = 2;
  options.block = {.hidden = 32,
                   .intermediate = 48,
                   .heads = 4,
                   .kv_heads = 2,
                   .head_dim = 8,
                   .qk_norm = QkNorm::kPerHead};
  return options;
}

template <class Run>
void compare_stack(const StackOptions& options, const Run& run) {
  DecoderStack stack(options);
  test::randomize(*stack, 3, 0.2);
  std::vector<torch::Tensor> outputs;
  const torch::NoGradGuard no_grad;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    stack->to(device);
    outputs.push_back(run(stack, random({3, 7, options.block.hidden}, 5).to(device)));
  }
  expect_close(outputs[1], outputs[0], 1e-4);
}

TEST_F(OnDevice, DecoderStacksOfAllKinds) {
  const auto forward = [](DecoderStack& stack, const torch::Tensor& x) { return stack(x); };
  compare_stack(stack_options(), forward);
  StackOptions window = stack_options();
  window.block.window = 3;
  compare_stack(window, forward);
  StackOptions alibi = stack_options();
  alibi.rotates = false;
  alibi.block.alibi = true;
  alibi.block.causal = false;
  compare_stack(alibi, forward);
  StackOptions pairs = stack_options();
  pairs.rope_layout = RopeLayout::kInterleaved;
  pairs.rope_bf16_table = true;
  pairs.block.norm = NormKind::kLayer;
  pairs.block.mlp = MlpKind::kGelu;
  compare_stack(pairs, forward);
}

TEST_F(OnDevice, PrefillAndSteps) {
  compare_stack(stack_options(), [](DecoderStack& stack, const torch::Tensor& x) {
    KvCache cache = stack->make_cache(x.size(0), 4, x.options());
    std::vector<torch::Tensor> parts = {stack->forward(x.narrow(1, 0, 4), {}, {}, &cache)};
    for (int64_t t = 4; t < x.size(1); ++t)
      parts.push_back(stack->forward(x.narrow(1, t, 1), {}, {}, &cache));
    return torch::cat(parts, 1);
  });
}

TEST_F(OnDevice, Gpt2WithGradients) {
  Gpt2Options options;
  options.layers = 2;
  options.hidden = 24;
  options.heads = 3;
  Gpt2Stack stack(options);
  test::randomize(*stack, 3, 0.2);
  stack->eval();
  std::vector<torch::Tensor> outputs, gradients;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    stack->to(device);
    stack->zero_grad();
    const torch::Tensor x = random({2, 6, 24}, 5).to(device).requires_grad_(true);
    outputs.push_back(stack->forward(x));
    outputs.back().square().mean().backward();
    gradients.push_back(x.grad());
    gradients.push_back(stack->named_parameters()["h.0.attn.c_attn.weight"].grad());
  }
  expect_close(outputs[1], outputs[0], 1e-4);
  expect_close(gradients[2], gradients[0], 1e-5);
  expect_close(gradients[3], gradients[1], 1e-4);
}

TEST_F(OnDevice, CrossEntropyInChunks) {
  std::vector<torch::Tensor> values;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    const torch::Tensor hidden = random({50, 16}, 1).to(device).requires_grad_(true);
    const torch::Tensor weight = random({33, 16}, 2).to(device).requires_grad_(true);
    const torch::Tensor targets = (torch::arange(50) % 33).to(device);
    const TokenLoss loss = linear_cross_entropy(hidden, weight, targets, true, /*chunk=*/16);
    loss.nll.mean().backward();
    for (const torch::Tensor& value :
         {loss.nll.detach(), loss.correct.to(torch::kFloat32), hidden.grad(), weight.grad()})
      values.push_back(value.to(torch::kCPU));
  }
  for (size_t i = 0; i < 4; ++i) expect_close(values[i + 4], values[i], 1e-5, std::to_string(i));
}

TEST_F(OnDevice, AnAdapterBesideItsWeightAndMergedIntoIt) {
  Linear linear(LinearOptions{16, 12});
  test::randomize(*linear, 4);
  LoraSlot slot;
  slot.A = random({4, 16}, 6);
  slot.B = random({12, 4}, 7);
  slot.scaling = 0.5;
  std::vector<torch::Tensor> values;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    const torch::NoGradGuard no_grad;
    Linear here(LinearOptions{16, 12});
    here->weight.set_data(linear->weight.detach().clone().to(device));
    here->lora() = slot;
    here->lora()->A = slot.A.to(device);
    here->lora()->B = slot.B.to(device);
    const torch::Tensor x = random({5, 16}, 8).to(device);
    values.push_back(here(x).to(torch::kCPU));
    here->merge_lora();
    values.push_back(here(x).to(torch::kCPU));
  }
  for (const torch::Tensor& value : values) expect_close(value, values[0], 1e-4);
}

// Codes must not depend on the device: the same draws, rules and choices.
TEST_F(OnDevice, DrawsRulesAndChoices) {
  std::vector<torch::Tensor> uniform, chosen;
  for (const torch::Device device : {torch::Device(torch::kCPU), test_device()}) {
    const torch::Tensor steps = torch::tensor({0, 3, 7}).to(device);
    const NoiseSource noise(seed_words({1, 2, 3}, device), steps);
    uniform.push_back(noise.uniform("token", {40}).to(torch::kCPU));
    TokenHistory history{torch::zeros({3, 40}, torch::kBool).to(device),
                         torch::zeros({3, 8}, torch::kInt64).to(device), steps};
    history.seen.select(1, 5).fill_(true);
    const torch::Tensor allowed = (torch::arange(40) < 30).to(device);
    const TokenRules rules = {repetition_penalty(1.3), allowed_ids(allowed), no_end_before(4, {0})};
    SamplingOptions options;
    options.temperature = 0.8;
    options.top_k = 12;
    options.top_p = 0.9;
    const torch::Tensor scores = apply_rules(rules, random({3, 40}, 9).to(device), history);
    chosen.push_back(choose_tokens(scores, options, {}, history, noise).to(torch::kCPU));
  }
  expect_equal(uniform[1], uniform[0], "draws");
  expect_equal(chosen[1], chosen[0], "tokens");
}

}  // namespace
}  // namespace ttsft
