#include "ttsft/codec/convnext.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;

CausalConvNeXt make_block() {
  torch::manual_seed(11);
  CausalConvNeXt block(6);
  for (auto& parameter : block->parameters()) {
    parameter.set_data(torch::randn(parameter.sizes()) * 0.5);
  }
  return block;
}

TEST(CausalConvNeXt, NamesAreUpstreams) {
  const auto parameters = make_block()->named_parameters();
  for (const char* name :
       {"dwconv.conv.weight", "dwconv.conv.bias", "norm.weight", "norm.bias", "pwconv1.weight",
        "pwconv1.bias", "pwconv2.weight", "pwconv2.bias", "gamma"}) {
    EXPECT_TRUE(parameters.contains(name)) << name;
  }
  EXPECT_EQ(parameters.size(), 9u);
}

TEST(CausalConvNeXt, Formula) {
  c10::InferenceMode guard;
  CausalConvNeXt block = make_block();
  const auto p = block->named_parameters();
  const torch::Tensor x = torch::randn({2, 6, 15});
  const int64_t stride = 1, padding = 0, dilation = 1, groups = 6;
  torch::Tensor h = torch::conv1d(torch::constant_pad_nd(x, {6, 0}), p["dwconv.conv.weight"],
                                  p["dwconv.conv.bias"], stride, padding, dilation, groups);
  h = h.transpose(1, 2);
  h = (h - h.mean(-1, true)) / (h.var(-1, /*unbiased=*/false, true) + 1e-6).sqrt();
  h = h * p["norm.weight"] + p["norm.bias"];
  h = torch::gelu(torch::linear(h, p["pwconv1.weight"], p["pwconv1.bias"]));
  h = torch::linear(h, p["pwconv2.weight"], p["pwconv2.bias"]) * p["gamma"];
  expect_close(block(x), x + h.transpose(1, 2), 1e-4);
}

TEST(CausalConvNeXt, IsCausal) {
  c10::InferenceMode guard;
  CausalConvNeXt block = make_block();
  const torch::Tensor x = torch::randn({1, 6, 20});
  expect_close(block(x.narrow(2, 0, 9)), block(x).narrow(2, 0, 9), 1e-5);
}

}  // namespace
}  // namespace ttsft
