#include "ttsft/codec/convnext.h"

#include <gtest/gtest.h>

#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;

ConvNeXt make_block(const ConvNeXtOptions& options = {.channels = 6}) {
  torch::manual_seed(11);
  ConvNeXt block(options);
  for (auto& parameter : block->parameters()) {
    parameter.set_data(torch::randn(parameter.sizes()) * 0.5);
  }
  return block;
}

TEST(ConvNeXt, NamesAreUpstreams) {
  const auto parameters = make_block()->named_parameters();
  for (const char* name :
       {"dwconv.conv.weight", "dwconv.conv.bias", "norm.weight", "norm.bias", "pwconv1.weight",
        "pwconv1.bias", "pwconv2.weight", "pwconv2.bias", "gamma"}) {
    EXPECT_TRUE(parameters.contains(name)) << name;
  }
  EXPECT_EQ(parameters.size(), 9u);
}

TEST(ConvNeXt, Formula) {
  c10::InferenceMode guard;
  ConvNeXt block = make_block();
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

TEST(ConvNeXt, IsCausal) {
  c10::InferenceMode guard;
  ConvNeXt block = make_block();
  const torch::Tensor x = torch::randn({1, 6, 20});
  expect_close(block(x.narrow(2, 0, 9)), block(x).narrow(2, 0, 9), 1e-5);
}

TEST(ConvNeXt, PiecesEqualTheWhole) {
  c10::InferenceMode guard;
  ConvNeXt block = make_block();
  const torch::Tensor x = torch::randn({2, 6, 20});
  ConvStream stream;
  std::vector<torch::Tensor> pieces;
  for (const auto& [from, count] : {std::pair{0, 1}, {1, 3}, {4, 11}, {15, 5}}) {
    stream.next_piece();
    pieces.push_back(block(x.narrow(2, from, count), &stream));
  }
  expect_close(torch::cat(pieces, 2), block(x), 1e-5);
}

TEST(ConvNeXt, HearsBothSidesWhereAsked) {
  c10::InferenceMode guard;
  ConvNeXt block = make_block({.channels = 6, .inner = 10, .causal = false});
  const auto p = block->named_parameters();
  EXPECT_EQ(p["dwconv.weight"].sizes().vec(), (std::vector<int64_t>{6, 1, 7}));
  EXPECT_EQ(p["pwconv1.weight"].sizes().vec(), (std::vector<int64_t>{10, 6}));
  const torch::Tensor x = torch::randn({1, 6, 20});
  torch::Tensor later = x.clone();
  later[0][0][12] += 1;
  const torch::Tensor change = (block(later) - block(x)).abs().sum(1)[0];
  EXPECT_EQ(change.narrow(0, 0, 9).max().item<float>(), 0) << "three frames ahead and no more";
  EXPECT_GT(change[9].item<float>(), 0);
  EXPECT_GT(change[15].item<float>(), 0);
  EXPECT_EQ(change.narrow(0, 16, 4).max().item<float>(), 0);
  ConvStream stream;
  EXPECT_THROW(block(x, &stream), std::logic_error);
}

}  // namespace
}  // namespace ttsft
