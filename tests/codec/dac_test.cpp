#include "ttsft/codec/dac.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/random_weights.h"
#include "tests/support/tensor_test.h"

namespace ttsft {
namespace {

using test::expect_close;
using ::testing::UnorderedElementsAre;

constexpr DacActivation kAll[] = {DacActivation::kElu, DacActivation::kSnake,
                                  DacActivation::kSnakeBeta};

std::vector<std::string> names_of(const torch::nn::Module& module) {
  std::vector<std::string> names;
  for (const auto& item : module.named_parameters()) names.push_back(item.key());
  return names;
}

TEST(DacUnit, NamesAreTheCodecs) {
  EXPECT_THAT(names_of(*DacUnit(DacUnitOptions{.channels = 4, .activation = DacActivation::kElu})),
              UnorderedElementsAre("block.1.conv.weight", "block.1.conv.bias",
                                   "block.3.conv.weight", "block.3.conv.bias"));
  EXPECT_THAT(names_of(*DacUnit(DacUnitOptions{.channels = 4})),
              UnorderedElementsAre("block.0.alpha", "block.1.conv.weight", "block.1.conv.bias",
                                   "block.2.alpha", "block.3.conv.weight", "block.3.conv.bias"));
  DacUnitOptions qwen{.channels = 4, .activation = DacActivation::kSnakeBeta, .group = ""};
  qwen.names = {"act1", "conv1", "act2", "conv2"};
  EXPECT_THAT(
      names_of(*DacUnit(qwen)),
      UnorderedElementsAre("act1.alpha", "act1.beta", "conv1.conv.weight", "conv1.conv.bias",
                           "act2.alpha", "act2.beta", "conv2.conv.weight", "conv2.conv.bias"));
}

TEST(DacUnit, Formula) {
  DacUnit unit(DacUnitOptions{.channels = 4, .hidden = 2, .kernel = 3, .dilation = 5});
  test::randomize(*unit);
  const auto p = unit->named_parameters();
  const auto snake = [&](const torch::Tensor& x, const char* name) {
    const torch::Tensor& alpha = p[name];  // [1, C, 1]
    return x + (alpha * x).sin().square() / (alpha + 1e-9);
  };
  const torch::Tensor x = test::random({2, 4, 17}, 3);
  const int64_t stride = 1, none = 0, dilation = 5;
  torch::Tensor y = torch::constant_pad_nd(snake(x, "block.0.alpha"), {10, 0});
  y = torch::conv1d(y, p["block.1.conv.weight"], p["block.1.conv.bias"], stride, none, dilation);
  y = torch::conv1d(snake(y, "block.2.alpha"), p["block.3.conv.weight"], p["block.3.conv.bias"]);
  torch::NoGradGuard no_gradients;
  expect_close(unit(x), x + y, 1e-5);
}

TEST(DacUnit, RowsOfUnequalLengthEqualTheRowsAlone) {
  torch::NoGradGuard no_gradients;
  for (const DacActivation activation : kAll) {
    DacUnit unit(DacUnitOptions{.channels = 4, .dilation = 3, .activation = activation});
    test::randomize(*unit, 5, 0.2);
    RowLengths lengths = {20, 9, 1};
    torch::Tensor x = test::random({3, 4, 20}, 3);
    zero_beyond_(x, lengths);
    const torch::Tensor y = unit->forward_rows(x, lengths);
    EXPECT_EQ(lengths, (RowLengths{20, 9, 1}));
    for (int64_t b = 0; b < 3; ++b) {
      const int64_t n = lengths[static_cast<size_t>(b)];
      expect_close(y[b].narrow(1, 0, n), unit(x[b].narrow(1, 0, n).unsqueeze(0))[0], 1e-5);
      EXPECT_EQ(y[b].slice(1, n).abs().sum().item<double>(), 0);
    }
  }
}

TEST(DacUpBlock, PiecesEqualTheWhole) {
  torch::NoGradGuard no_gradients;
  for (const DacActivation activation : kAll) {
    DacUpBlockOptions options{.in = 6, .out = 3, .rate = 4};
    options.unit.activation = activation;
    DacUpBlock block(options);
    test::randomize(*block, 5, 0.1);
    EXPECT_TRUE(block->named_parameters().contains("block.1.conv.weight"));
    EXPECT_TRUE(block->named_parameters().contains("block.4.block.3.conv.bias"));
    const torch::Tensor x = test::random({2, 6, 30}, 3);
    const torch::Tensor whole = block(x);
    ASSERT_EQ(whole.size(2), 120);
    ConvStream stream;
    std::vector<torch::Tensor> pieces;
    for (const auto& [from, count] : {std::pair{0, 2}, {2, 1}, {3, 27}}) {
      stream.next_piece();
      pieces.push_back(block(x.narrow(2, from, count), &stream));
    }
    expect_close(torch::cat(pieces, 2), whole, 1e-4);
  }
}

}  // namespace
}  // namespace ttsft
