#include "ttsft/nn/layers.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"
#include "ttsft/nn/rng.h"

namespace ttsft {
namespace {

using test::expect_close;
using test::expect_equal;
using test::random;

torch::Tensor wide(const torch::Tensor& x) {
  return x.detach().to(torch::kFloat64);
}

torch::Tensor rms_by_hand(const torch::Tensor& x, const torch::Tensor& weight, double eps) {
  const torch::Tensor mean = wide(x).square().mean(-1, true);
  return wide(x) / (mean + eps).sqrt() * wide(weight);
}

// Thousands of frames share one text vector: added one by one in bfloat16 the sum would stop
// growing at 256.
TEST(SharedRows, GradientsAreSummedInFloat32) {
  torch::Generator generator = make_generator(torch::kCPU, 5);
  const torch::Tensor rows = random({3, 4}, 1).to(torch::kBFloat16).requires_grad_(true);
  torch::Tensor index = torch::zeros({5000}, torch::kInt64);
  index[17] = 2;
  const torch::Tensor taken = shared_rows(rows, index);
  expect_equal(taken, rows.detach().index_select(0, index));
  EXPECT_EQ(taken.scalar_type(), torch::kBFloat16);
  const torch::Tensor given = (torch::randn({5000, 4}, generator) + 0.3).to(torch::kBFloat16);
  taken.backward(given);
  const torch::Tensor want =
      torch::zeros({3, 4}, torch::kFloat64).index_add_(0, index, given.to(torch::kFloat64));
  expect_close(rows.grad().to(torch::kFloat64), want, 8.0);  // a step of bfloat16 at 1500
  const torch::Tensor small = random({3, 4}, 2).requires_grad_(true);
  shared_rows(small, index).sum().backward();
  expect_equal(small.grad().select(1, 0), torch::tensor({4999.0f, 0.0f, 1.0f}));
}

TEST(Embedding, TakesRows) {
  Embedding embedding(4, 3);
  test::randomize(*embedding);
  const torch::Tensor ids = torch::tensor({{2, 0, 2}, {3, 3, 1}});
  const torch::Tensor rows = embedding(ids);
  ASSERT_EQ(test::shape_of(rows), "[2, 3, 3]");
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t t = 0; t < 3; ++t) {
      expect_equal(rows[b][t], embedding->weight[ids[b][t].item<int64_t>()]);
    }
  }
  rows.sum().backward();  // each row as often as it was asked for
  const torch::Tensor times = torch::tensor({1.0f, 1.0f, 2.0f, 2.0f});
  expect_equal(embedding->weight.grad(), times.unsqueeze(1).expand({4, 3}));
}

TEST(RmsNorm, Formula) {
  RmsNorm norm(6, 1e-6);
  test::randomize(*norm);
  const torch::Tensor x = random({2, 4, 6}, 1, 3.0);
  expect_close(norm(x), rms_by_hand(x, norm->weight, 1e-6), 1e-5);
}

TEST(RmsNorm, EpsIsInsideTheRoot) {
  RmsNorm norm(6, 0.5);
  test::randomize(*norm);
  const torch::Tensor x = random({4, 6}, 1, 0.3);
  expect_close(norm(x), rms_by_hand(x, norm->weight, 0.5), 1e-6);
  expect_equal(norm(torch::zeros({1, 6})), torch::zeros({1, 6}));
}

TEST(RmsNorm, SumsInFloat32WhateverTheType) {
  constexpr int64_t kDim = 4096;
  RmsNorm norm(kDim, 1e-6);
  test::randomize(*norm);
  norm->to(torch::kBFloat16);
  // In bf16 a running sum of squares stops growing at 256 times the addend.
  const torch::Tensor x = (random({2, kDim}, 1) + 30).to(torch::kBFloat16);
  const torch::Tensor y = norm(x), wanted = rms_by_hand(x, norm->weight, 1e-6);
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  expect_close(wide(y) / wanted, torch::ones_like(wanted), 1.0 / 128);
}

TEST(LayerNorm, Formula) {
  LayerNorm norm(6, 1e-2);
  test::randomize(*norm);
  const torch::Tensor x = random({2, 4, 6}, 1), w = wide(x);
  const torch::Tensor mean = w.mean(-1, true), variance = (w - mean).square().mean(-1, true);
  const torch::Tensor y = (w - mean) / (variance + 1e-2).sqrt();
  expect_close(norm(x), y * wide(norm->weight) + wide(norm->bias), 1e-5);
}

TEST(LayerScale, OneFactorPerChannel) {
  LayerScale layer(3);
  test::randomize(*layer);
  ASSERT_TRUE(layer->named_parameters().contains("scale"));
  const torch::Tensor x = random({2, 4, 3}, 1), y = layer(x);
  for (int64_t c = 0; c < 3; ++c) {
    expect_close(y.select(-1, c), wide(x.select(-1, c)) * layer->scale[c].item<double>(), 1e-6);
  }
}

}  // namespace
}  // namespace ttsft
