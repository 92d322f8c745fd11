#include "ttsft/nn/linear.h"

#include <gtest/gtest.h>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;

constexpr int64_t kIn = 5, kOut = 7, kRank = 3;
constexpr LinearLayout kLayouts[] = {LinearLayout::kOutIn, LinearLayout::kInOut};

// The same y = x W^T + b in either layout.
Linear make_linear(LinearLayout layout, bool bias = true) {
  LinearOptions options{kIn, kOut, bias};
  options.layout = layout;
  Linear linear(options);
  const torch::Tensor w = random({kOut, kIn}, 1);
  linear->weight.set_data(layout == LinearLayout::kInOut ? w.t().contiguous() : w);
  if (bias) linear->bias.set_data(random({kOut}, 2));
  return linear;
}

LoraSlot make_slot(double scaling = 2.0, double scale = 0.7) {
  LoraSlot slot;
  slot.A = random({kRank, kIn}, 3);
  slot.B = random({kOut, kRank}, 4);
  slot.scaling = scaling;
  slot.scale = scale;
  return slot;
}

torch::Tensor wide(const torch::Tensor& x) {
  return x.detach().to(torch::kFloat64);
}

TEST(Linear, HoldsTheWeightAsTheFileDoes) {
  EXPECT_EQ(test::shape_of(make_linear(LinearLayout::kOutIn)->weight), "[7, 5]");
  EXPECT_EQ(test::shape_of(make_linear(LinearLayout::kInOut)->weight), "[5, 7]");
  const Linear without = make_linear(LinearLayout::kOutIn, false);
  EXPECT_FALSE(without->bias.defined());
  ASSERT_EQ(without->named_parameters().size(), 1u);
  EXPECT_EQ(without->named_parameters()[0].key(), "weight");
  EXPECT_TRUE(make_linear(LinearLayout::kOutIn)->named_parameters().contains("bias"));
}

TEST(Linear, BothLayoutsComputeTheSame) {
  const torch::Tensor x = random({2, 3, kIn}, 9);
  for (const LinearLayout layout : kLayouts) {
    const torch::Tensor product = torch::matmul(wide(x), wide(random({kOut, kIn}, 1)).t());
    expect_close(make_linear(layout, false)(x), product, 1e-5);
    expect_close(make_linear(layout, true)(x), product + wide(random({kOut}, 2)), 1e-5);
  }
}

TEST(Linear, AdapterAddsItsScaledProduct) {
  const torch::Tensor x = random({2, 3, kIn}, 9);
  for (const LinearLayout layout : kLayouts) {
    Linear linear = make_linear(layout);
    const torch::Tensor base = linear(x);
    linear->lora() = make_slot(2.0, 0.7);
    const torch::Tensor a = wide(linear->lora()->A), b = wide(linear->lora()->B);
    const torch::Tensor delta = torch::matmul(torch::matmul(wide(x), a.t()), b.t());
    expect_close(linear(x), wide(base) + 1.4 * delta, 1e-5);
    linear->lora()->scale = -1.0;  // takes away what the adapter has learned
    expect_close(linear(x), wide(base) - 2.0 * delta, 1e-5);
  }
}

TEST(Linear, ScaleZeroIsTheBaseBitForBit) {
  const torch::Tensor x = random({4, kIn}, 9);
  for (const LinearLayout layout : kLayouts) {
    Linear linear = make_linear(layout);
    const torch::Tensor base = linear(x), weight = linear->weight.detach().clone();
    linear->lora() = make_slot(2.0, 0.0);
    linear->lora()->A.fill_(NAN);  // an adapter that is off may hold anything
    EXPECT_TRUE(torch::equal(linear(x), base));
    EXPECT_EQ(linear->effective_weight().data_ptr(), linear->weight.data_ptr());
    linear->merge_lora();
    EXPECT_FALSE(linear->lora().has_value());
    EXPECT_TRUE(torch::equal(linear->weight, weight));
  }
}

TEST(Linear, MergedEqualsUnmerged) {
  const torch::Tensor x = random({4, kIn}, 9);
  for (const LinearLayout layout : kLayouts) {
    Linear linear = make_linear(layout);
    linear->lora() = make_slot();
    const torch::Tensor unmerged = linear(x), effective = linear->effective_weight();
    ASSERT_EQ(test::shape_of(effective), "[7, 5]");
    const torch::Tensor file = linear->weight.detach();  // as a mapped file: may not be written
    const torch::Tensor before = file.clone();
    linear->merge_lora();
    EXPECT_FALSE(linear->lora().has_value());
    EXPECT_TRUE(torch::equal(file, before));
    EXPECT_TRUE(linear->weight.is_contiguous());
    EXPECT_EQ(linear->named_parameters()["weight"].data_ptr(), linear->weight.data_ptr());
    expect_close(linear(x), unmerged, 1e-5);
    expect_close(linear->effective_weight(), effective, 1e-6);
    const torch::Tensor merged = linear->weight.detach().clone();
    linear->merge_lora();  // nothing left to merge
    EXPECT_TRUE(torch::equal(linear->weight, merged));
  }
}

TEST(Linear, MergeRoundsOnceInBf16) {
  Linear linear = make_linear(LinearLayout::kOutIn);
  linear->to(torch::kBFloat16);
  const torch::Tensor base = linear->weight.detach().clone();
  linear->lora() = make_slot();
  const torch::Tensor delta = torch::matmul(linear->lora()->B, linear->lora()->A) * 1.4;
  linear->merge_lora();
  EXPECT_EQ(linear->weight.scalar_type(), torch::kBFloat16);
  expect_equal(linear->weight, (base.to(torch::kFloat32) + delta).to(torch::kBFloat16));
}

TEST(Linear, EffectiveWeightIsDifferentiable) {
  const torch::Tensor x = random({4, kIn}, 9), g = random({4, kOut}, 10);
  const torch::Tensor outer = torch::matmul(wide(g).t(), wide(x));  // dL/dW, [out, in]
  for (const LinearLayout layout : kLayouts) {
    Linear linear = make_linear(layout);
    linear->lora() = make_slot(2.0, 0.7);
    torch::Tensor &a = linear->lora()->A, &b = linear->lora()->B;
    a.requires_grad_(true);
    b.requires_grad_(true);
    const torch::Tensor wanted_a = 1.4 * torch::matmul(wide(b).t(), outer);
    const torch::Tensor wanted_b = 1.4 * torch::matmul(outer, wide(a).t());
    const auto check = [&](const char* path) {
      const torch::Tensor w = linear->weight.grad();
      expect_close(layout == LinearLayout::kInOut ? w.t() : w, outer, 1e-5, path);
      expect_close(a.grad(), wanted_a, 1e-4, path);
      expect_close(b.grad(), wanted_b, 1e-4, path);
      for (torch::Tensor t : {linear->weight, a, b}) t.mutable_grad().reset();
    };
    (torch::matmul(x, linear->effective_weight().t()) * g).sum().backward();
    check("effective weight");
    (linear(x) * g).sum().backward();
    check("forward");
  }
}

TEST(Linear, DropoutOnlyWhileTraining) {
  Linear linear(kIn, kIn);
  linear->weight.set_data(torch::zeros({kIn, kIn}));
  LoraSlot slot;
  slot.A = torch::eye(kIn);
  slot.B = torch::eye(kIn);
  slot.dropout = 0.25;
  linear->lora() = slot;  // y = dropout(x)
  const torch::Tensor x = random({400, kIn}, 9);
  linear->eval();
  EXPECT_TRUE(torch::equal(linear(x), x));
  linear->train();
  torch::manual_seed(3);
  const torch::Tensor y = linear(x), kept = y.ne(0);
  expect_close(y, torch::where(kept, x / 0.75, torch::zeros_like(x)), 1e-5);
  EXPECT_NEAR(kept.to(torch::kFloat32).mean().item<double>(), 0.75, 0.04);
  EXPECT_FALSE(torch::equal(linear(x), y));  // another draw
  linear->lora()->dropout = 0;
  EXPECT_TRUE(torch::equal(linear(x), x));
}

TEST(Linear, GradientsReachFloat32AdaptersOfABf16Base) {
  Linear linear = make_linear(LinearLayout::kOutIn, false);
  linear->to(torch::kBFloat16);
  linear->weight.requires_grad_(false);
  linear->lora() = make_slot(2.0, 1.0);
  torch::Tensor &a = linear->lora()->A, &b = linear->lora()->B;
  a.requires_grad_(true);
  b.requires_grad_(true);
  const torch::Tensor x = random({6, kIn}, 9).to(torch::kBFloat16);
  const torch::Tensor g = random({6, kOut}, 10).to(torch::kBFloat16);
  const torch::Tensor y = linear(x);
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  y.backward(g);
  EXPECT_FALSE(linear->weight.grad().defined());
  ASSERT_TRUE(a.grad().defined() && b.grad().defined());
  EXPECT_EQ(a.grad().scalar_type(), torch::kFloat32);
  EXPECT_EQ(b.grad().scalar_type(), torch::kFloat32);
  const torch::Tensor outer = torch::matmul(wide(g).t(), wide(x));
  const torch::Tensor wanted_a = 2.0 * torch::matmul(wide(b).t(), outer);
  const torch::Tensor wanted_b = 2.0 * torch::matmul(outer, wide(a).t());
  // bf16 keeps 8 bits: a per cent of the largest value.
  expect_close(a.grad(), wanted_a, 0.02 * wanted_a.abs().max().item<double>());
  expect_close(b.grad(), wanted_b, 0.02 * wanted_b.abs().max().item<double>());
}

}  // namespace
}  // namespace ttsft
