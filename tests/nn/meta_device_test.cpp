#include "ttsft/nn/meta_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/meta_watch.h"
#include "ttsft/nn/checkpointing.h"
#include "ttsft/nn/layers.h"
#include "ttsft/nn/loss.h"

namespace ttsft {
namespace {

using ::testing::HasSubstr;

torch::TensorOptions on_meta(torch::Dtype dtype = torch::kFloat32) {
  return torch::TensorOptions().device(torch::kMeta).dtype(dtype);
}

std::string refusal(const std::function<void()>& run) {
  try {
    run();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "nothing was thrown";
}

// What every proof on this device rests on.
TEST(MetaDevice, ReadingANumberOnTheHostThrows) {
  use_meta_device();
  const torch::Tensor x = torch::ones({3}, on_meta());
  EXPECT_THAT(refusal([&] { x.sum().item<float>(); }), HasSubstr("Meta"));
  EXPECT_THAT(refusal([&] { x.to(torch::kCPU); }), HasSubstr("meta"));
  EXPECT_THAT(refusal([&] { x.nonzero(); }), HasSubstr("Meta"));
  EXPECT_THAT(refusal([&] { x.index({x > 0}); }), HasSubstr("Meta"));
  EXPECT_THAT(refusal([&] { (void)torch::equal(x, x); }), HasSubstr("Meta"));
}

TEST(MetaDevice, MixingWithATensorOfTheCpuThrows) {
  use_meta_device();
  const test::RefuseMixing refuse;
  const torch::Tensor x = torch::ones({2, 3}, on_meta()), y = torch::ones({2, 3});
  const torch::Tensor heads = torch::ones({1, 1, 2, 3}, on_meta());
  const torch::Tensor table = torch::ones({5, 3}, on_meta());
  const torch::Tensor ids = torch::zeros({2}, torch::kInt64);
  const auto mixed = HasSubstr("same device");
  EXPECT_THAT(refusal([&] { x + y; }), mixed);
  EXPECT_THAT(refusal([&] { torch::mm(x, y.t()); }), mixed);
  EXPECT_THAT(refusal([&] { torch::cat({x, y}); }), mixed);
  EXPECT_THAT(refusal([&] { table.index_select(0, ids); }), mixed);
  EXPECT_THAT(refusal([&] { torch::embedding(table, ids); }), mixed);
  EXPECT_THAT(refusal([&] { table.index({ids}); }), mixed);
  EXPECT_THAT(refusal([&] { torch::rms_norm(x, {3}, torch::ones({3})); }), mixed);
  EXPECT_THAT(refusal([&] {
                torch::scaled_dot_product_attention(heads, heads, heads, torch::ones({2, 2}));
              }),
              mixed);
  // What a GPU takes as well: numbers, and copies from one device to the other.
  EXPECT_EQ(refusal([&] { x* torch::tensor(2.0); }), "nothing was thrown");
  EXPECT_EQ(refusal([&] { x + y.to(torch::kMeta); }), "nothing was thrown");
  EXPECT_EQ(refusal([&] { y + y; }), "nothing was thrown");
}

// Against the CPU's, with one number for all dimensions and with one for each.
TEST(MetaDevice, ConvolutionsHaveTheShapesOfTheCpus) {
  use_meta_device();
  const auto shapes = [](torch::Device device) {
    const auto options = torch::TensorOptions().device(device);
    std::vector<torch::Tensor> out;
    torch::Tensor x = torch::ones({2, 4, 9}, options).requires_grad_(true);
    torch::Tensor w = torch::ones({6, 2, 3}, options).requires_grad_(true);
    torch::Tensor bias = torch::ones({6}, options).requires_grad_(true);
    out.push_back(torch::conv1d(x, w, bias, 2, 1, 1, /*groups=*/2));
    const torch::Tensor image = torch::ones({1, 3, 8, 11}, options);
    out.push_back(torch::conv2d(image, torch::ones({5, 3, 3, 3}, options), {}, 2, 1));
    out.push_back(torch::conv2d(image, torch::ones({5, 3, 3, 1}, options), {}, {1, 3}, {2, 0}));
    out.push_back(torch::conv_transpose1d(x, torch::ones({4, 5, 6}, options), {}, 3, 1, 2));
    (out[0].sum() + out[3].sum()).backward();
    for (const torch::Tensor& leaf : {x, w, bias}) out.push_back(leaf.grad());
    std::vector<std::vector<int64_t>> sizes;
    for (const torch::Tensor& tensor : out) {
      EXPECT_EQ(tensor.device(), device);
      sizes.push_back(tensor.sizes().vec());
    }
    return sizes;
  };
  EXPECT_EQ(shapes(torch::kMeta), shapes(torch::kCPU));
}

TEST(MetaDevice, CountsTheBytesThatLiveAndTheirPeak) {
  use_meta_device();
  const int64_t before = meta_memory();
  reset_peak_meta_memory();
  {
    const torch::Tensor x = torch::empty({1024}, on_meta());
    EXPECT_EQ(meta_memory() - before, 4096);
    const torch::Tensor half = x.to(torch::kBFloat16);
    EXPECT_EQ(meta_memory() - before, 4096 + 2048);
    torch::empty({1}, on_meta());  // a block of 512 bytes
    const torch::Tensor view = x.view({2, 512});
    EXPECT_EQ(meta_memory() - before, 4096 + 2048);
  }
  EXPECT_EQ(meta_memory(), before);
  EXPECT_EQ(peak_meta_memory() - before, 4096 + 2048 + 512);
}

// A block of the kind that the models are made of: attention, norm, dropout, loss.
int64_t peak_of_a_step(bool recompute, int64_t rows) {
  use_meta_device();
  const torch::Tensor w = torch::empty({64, 64}, on_meta()).requires_grad_(true);
  const torch::Tensor x = torch::empty({rows, 64}, on_meta());
  reset_peak_meta_memory();
  const int64_t before = meta_memory();
  torch::Tensor h = x;
  for (int layer = 0; layer < 12; ++layer) {
    const auto block = [&](const torch::Tensor& in) {
      const torch::Tensor q = torch::mm(torch::rms_norm(in, {64}), w).view({1, -1, 4, 16});
      const torch::Tensor heads = q.transpose(1, 2);
      const torch::Tensor y = torch::scaled_dot_product_attention(heads, heads, heads, {}, 0, true);
      return in + torch::dropout(y.transpose(1, 2).reshape({-1, 64}), 0.5, true);
    };
    h = recompute ? checkpoint(block, h) : block(h);
  }
  const torch::Tensor targets = torch::empty({rows}, on_meta(torch::kInt64));
  linear_cross_entropy(torch::layer_norm(h, {64}), w, targets).nll.sum().backward();
  EXPECT_TRUE(w.grad().defined() && w.grad().is_meta());
  return peak_meta_memory() - before;
}

TEST(MetaDevice, RecomputedActivationsAreNotCounted) {
  const int64_t plain = peak_of_a_step(false, 512), again = peak_of_a_step(true, 512);
  EXPECT_LT(again, plain / 2);
  // Per layer and row in float32: norm in and out, q, attention's output, its rows' numbers, and a
  // byte per value of the mask.
  const int64_t row = 4 * 64 * 4 + 64;
  EXPECT_GT(plain, 512 * 12 * row * 9 / 10);
  EXPECT_LT(plain, 512 * 12 * row * 2);
  // Attention is not quadratic in it, as the fused kernels are not.
  EXPECT_LT(peak_of_a_step(false, 2048), 45 * plain / 10);
}

// Operators without a meta kernel: shapes and types are those that the CPU gives.
TEST(MetaDevice, OthersGiveTheShapesOfTheCpu) {
  use_meta_device();
  const torch::Tensor x = torch::empty({4, 6}, on_meta(torch::kBFloat16));
  const torch::Tensor ids = torch::zeros({3}, on_meta(torch::kInt64));
  EXPECT_EQ(x.index_select(1, ids).sizes(), torch::IntArrayRef({4, 3}));
  EXPECT_EQ(x.index_select(1, ids).scalar_type(), torch::kBFloat16);
  EXPECT_EQ(x.logsumexp(-1).sizes(), torch::IntArrayRef({4}));
  torch::Tensor out = torch::empty({0}, on_meta(torch::kBFloat16));
  torch::abs_out(out, x);
  EXPECT_EQ(out.sizes(), x.sizes());
  EXPECT_TRUE(out.is_meta());
}

TEST(MetaDevice, AnEmbeddingHasAGradient) {
  use_meta_device();
  const torch::Tensor table = torch::empty({7, 4}, on_meta()).requires_grad_(true);
  torch::embedding(table, torch::zeros({3}, on_meta(torch::kInt64))).sum().backward();
  EXPECT_EQ(table.grad().sizes(), torch::IntArrayRef({7, 4}));
  const torch::InferenceMode inference;
  EXPECT_TRUE(torch::layer_norm(table, {4}).is_meta());
}

}  // namespace
}  // namespace ttsft
